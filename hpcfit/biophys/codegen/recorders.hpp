// What is kept of a simulation.  The time loop calls a recorder at every k-th step:
//     begin(lanes)            before the first sample of a block
//     sample(b, at, lanes)    the block's voltages at sample number `at`; only lanes that run count
//     finish(lane, at)        the lane's last sample was `at`; not called for lanes that diverged
//     end(lanes)              after the last sample of a block
// Each thread has its own recorder, made in `work_bytes` of memory.
#pragma once
#include <cstdlib>
#include <mutex>

struct Stimulus {
    int64_t steps, injections;
    const int64_t* injected;  // [injections]: node
    const R* current;         // [injections][steps], mA/cm2 of that node
    R* out;                   // [individuals][sites][samples], mV; traces only
    Schedule events;
};

struct Arguments {
    int64_t blocks, every, sites, stimuli_count, threads, record, most_spikes;
    double sample_ms, limit_mV, deadline_s;
    const R* parameters;        // [individuals][hpcfit_row()]
    const Stimulus* stimuli;    // [stimuli_count]
    const int64_t* site;        // [sites]: node
    const double* threshold_mV; // [sites]; spikes only
    const int64_t* individual;  // [blocks][W]
    const int64_t* stimulus;    // [blocks][W]; -1: an empty lane
    int8_t* status;             // [individuals][stimuli_count]
    int64_t* stopped;           // [individuals][stimuli_count]: the sample at which it ended
    int64_t* spikes;            // [individuals][stimuli_count][sites]; spikes only
    int64_t* first_spike;       // the same: where its spikes start in spike_ms
    const int32_t* cancel;      // not 0: leave off
    double* spike_ms;           // [most_spikes]
    int64_t spike_count;        // how many there are
};

enum Ending { RUNNING = -1, DONE = 0, DIVERGED = 1, DEADLINE = 2 };
enum Failure { FINE = 0, NO_MEMORY = 1, TOO_MANY_SPIKES = 2, CANCELLED = 3 };

// What each lane of a block simulates and how far it is.
struct Lanes {
    const int64_t *individual, *stimulus;
    int64_t end[W];  // last sample
    int8_t ending[W];
    int64_t last, count;
    bool alike;  // all lanes have the same stimulus

    Lanes(const Arguments& a, int64_t block) : individual(a.individual + block * W), stimulus(a.stimulus + block * W) {
        last = count = 0;
        alike = true;
        for (int lane = 0; lane < W; ++lane) {
            ending[lane] = stimulus[lane] < 0 ? DONE : RUNNING;
            if (stimulus[lane] < 0) continue;
            end[lane] = a.stimuli[stimulus[lane]].steps / a.every;
            last = end[lane] > last ? end[lane] : last;
            alike = alike && stimulus[lane] == stimulus[0];
            ++count;
        }
    }

    bool running(int lane) const { return ending[lane] == RUNNING; }

    void stop(const Arguments& a, int lane, Ending how, int64_t at) {
        const int64_t pair = individual[lane] * a.stimuli_count + stimulus[lane];
        ending[lane] = int8_t(how);
        a.status[pair] = int8_t(how);
        a.stopped[pair] = at;
        --count;
    }
};

// Whole traces: samples are gathered for each lane, so that what goes to memory are whole lines of it.
struct TraceRecorder {
    static constexpr int64_t SAMPLES = 64 / sizeof(R);
    static int64_t work_bytes(int64_t sites) { return sites * SAMPLES * W * int64_t(sizeof(R)); }
    const Arguments& a;
    R* tile;  // [sites][SAMPLES][W]
    const Lanes* lanes = nullptr;

    TraceRecorder(const Arguments& arguments, void* work) : a(arguments), tile(static_cast<R*>(work)) {}

    void begin(const Lanes& of) { lanes = &of; }

    void sample(const Block& b, int64_t at, const Lanes&) {
        const int64_t row = at % SAMPLES;
        for (int64_t site = 0; site < a.sites; ++site)
            store(tile + (site * SAMPLES + row) * W, load(b.v + a.site[site] * W));
        if (row == SAMPLES - 1)
            for (int lane = 0; lane < W; ++lane)
                if (lanes->running(lane)) write(lane, at - row, SAMPLES);
    }

    void finish(int lane, int64_t at) {
        const int64_t left = (at + 1) % SAMPLES;
        if (left) write(lane, at + 1 - left, left);
    }

    bool end(const Lanes&) { return true; }

    void write(int lane, int64_t first, int64_t count) const {
        const Stimulus& stimulus = a.stimuli[lanes->stimulus[lane]];
        const int64_t samples = stimulus.steps / a.every + 1;
        for (int64_t site = 0; site < a.sites; ++site) {
            R* const out = stimulus.out + (lanes->individual[lane] * a.sites + site) * samples + first;
            for (int64_t i = 0; i < count; ++i) out[i] = tile[(site * SAMPLES + i) * W + lane];
        }
    }
};

// Times at which the voltage of a site rises above its threshold, interpolated between samples.
struct SpikeRecorder {
    struct Spike {
        int64_t lane_site;
        double t_ms;
    };
    static int64_t work_bytes(int64_t sites) { return sites * W * int64_t(sizeof(R)); }
    Arguments& a;
    R* before;  // [sites][W]
    Spike* found = nullptr;
    int64_t count = 0, room = 0;
    bool whole = true;
    static std::mutex& writing() {
        static std::mutex one;
        return one;
    }

    SpikeRecorder(Arguments& arguments, void* work) : a(arguments), before(static_cast<R*>(work)) {}
    SpikeRecorder(const SpikeRecorder&) = delete;
    ~SpikeRecorder() { std::free(found); }

    void begin(const Lanes&) { count = 0; }

    void sample(const Block& b, int64_t at, const Lanes& lanes) {
        for (int64_t site = 0; site < a.sites; ++site) {
            const R* const v = b.v + a.site[site] * W;
            R* const last = before + site * W;
            const double threshold = a.threshold_mV[site];
            if (at > 0)
                for (int lane = 0; lane < W; ++lane)
                    if (double(v[lane]) > threshold && double(last[lane]) <= threshold && lanes.running(lane)) {
                        const double low = last[lane], part = (threshold - low) / (double(v[lane]) - low);
                        add({lane * a.sites + site, (double(at - 1) + part) * a.sample_ms});
                    }
            store(last, load(v));
        }
    }

    void finish(int, int64_t) {}

    // Appends the block's spikes to those of all: one lane and site after the other.
    bool end(const Lanes& lanes) {
        const std::lock_guard<std::mutex> lock(writing());
        if (!whole || a.spike_count + count > a.most_spikes) return false;
        for (int lane = 0; lane < W; ++lane) {
            if (lanes.stimulus[lane] < 0 || lanes.ending[lane] != DONE) continue;
            for (int64_t site = 0; site < a.sites; ++site) {
                const int64_t pair = lanes.individual[lane] * a.stimuli_count + lanes.stimulus[lane];
                const int64_t start = a.spike_count;
                for (int64_t i = 0; i < count; ++i)
                    if (found[i].lane_site == lane * a.sites + site) a.spike_ms[a.spike_count++] = found[i].t_ms;
                a.first_spike[pair * a.sites + site] = start;
                a.spikes[pair * a.sites + site] = a.spike_count - start;
            }
        }
        return true;
    }

    void add(Spike spike) {
        if (count == room) {
            const int64_t more = room ? 2 * room : 256;
            Spike* const grown = static_cast<Spike*>(std::realloc(found, size_t(more) * sizeof(Spike)));
            if (!grown) {
                whole = false;
                return;
            }
            found = grown, room = more;
        }
        found[count++] = spike;
    }
};
