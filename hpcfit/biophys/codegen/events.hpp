// Which point processes act, and what reaches them when: the same for every lane.
#pragma once

struct Schedule {
    const int64_t* active;  // [INSTANCES]: is it one of this stimulus?
    const int64_t* first;   // [INSTANCES + 1]: its events, in order of delivery
    const int64_t* step;    // [events]: before the currents of which step it is delivered
    const double* time;     // [events], ms
    const double* flag;     // [events]
};

// How far one block of lanes has come in the schedule.
struct Deliveries {
    const Schedule* schedule;
    int64_t step;
    int64_t next[INSTANCES + 1];

    DEVICE void begin(const Schedule& all) {
        schedule = &all;
        for (int k = 0; k < INSTANCES; ++k) next[k] = all.first[k];
    }
    DEVICE bool acts(int instance) const { return schedule->active[instance] != 0; }
    DEVICE bool due(int instance) const {
        return next[instance] < schedule->first[instance + 1] && schedule->step[next[instance]] <= step;
    }
};
