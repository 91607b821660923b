// What is kept of a simulation.  The time loop calls a recorder at every k-th step:
//     begin(lanes)            before the first sample of a block
//     sample(b, at, lanes)    the block's voltages at sample number `at`; only lanes that run count
//     finish(lane, at)        the lane's last sample was `at`; not called for lanes that diverged
//     end(lanes)              after the last sample of a block
// Each thread has its own recorder, made in `work_bytes` of memory.  Features are feature_recorder.hpp's.
#pragma once
#include <cstdlib>
#include <ctime>
#include <mutex>

// Features that the extractor reads of the responses to one stimulus at one site.
struct Reading {
    int64_t site;           // its number among the recorded ones
    const void* plan;       // the extractor's
    const int32_t* wanted;  // [features]: their numbers there
    int64_t features;
    double* mean;           // [individuals][features]
    int32_t* count;         // the same
    uint8_t* reason;        // the same
};

// traces: [traces][samples of the plan]; single: they are float.  The extractor's hpcfit_read.
typedef void (*ReadTraces)(const void* plan, const void* traces, int single, int64_t count, const int32_t* wanted,
                           int64_t features, double* mean, int32_t* counts, uint8_t* reason);

struct Stimulus {
    int64_t steps, injections;
    const int64_t* injected;  // [injections]: node
    const R* current;         // [injections][steps], mA/cm2 of that node
    R* out;                   // [individuals][sites][samples], mV; traces only
    Schedule events;
    int64_t readings;
    const Reading* reading;   // [readings]; features only
};

struct Arguments {
    int64_t blocks, every, sites, stimuli_count, threads, record, most_spikes;
    double sample_ms, limit_mV, deadline_s;
    const R* parameters;        // [individuals][hpcfit_row()]
    const Stimulus* stimuli;    // [stimuli_count]
    const int64_t* site;        // [sites]: node; those that are recorded come first
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
    int64_t recorded;           // sites whose voltages are gathered; not for spikes
    int64_t samples;            // of the longest stimulus; features only
    ReadTraces read;            // features only
    double reading_s;           // processor time of all threads that reading features took
};

// Processor time of this thread: what others run on the same core is not held against a simulation.
static double thread_seconds() {
    timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return double(now.tv_sec) + 1e-9 * double(now.tv_nsec);
}

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

// Samples are gathered for each lane, so that what goes to memory are whole lines of it.
struct Tiles {
    static constexpr int64_t SAMPLES = 64 / sizeof(R);
    static int64_t bytes(int64_t sites) { return sites * SAMPLES * W * int64_t(sizeof(R)); }
    R* tile;  // [sites][SAMPLES][W]
    int64_t sites;
    R* start[W];        // where a lane's samples at the first site go
    int64_t stride[W];  // from there to those at the next

    void sample(const Block& b, const int64_t* site, int64_t at, const Lanes& lanes) {
        const int64_t row = at % SAMPLES;
        for (int64_t k = 0; k < sites; ++k) store(tile + (k * SAMPLES + row) * W, load(b.v + site[k] * W));
        if (row == SAMPLES - 1)
            for (int lane = 0; lane < W; ++lane)
                if (lanes.running(lane)) write(lane, at - row, SAMPLES);
    }

    void finish(int lane, int64_t at) const {
        const int64_t left = (at + 1) % SAMPLES;
        if (left) write(lane, at + 1 - left, left);
    }

    void write(int lane, int64_t first, int64_t count) const {
        for (int64_t k = 0; k < sites; ++k) {
            R* const out = start[lane] + k * stride[lane] + first;
            for (int64_t i = 0; i < count; ++i) out[i] = tile[(k * SAMPLES + i) * W + lane];
        }
    }
};

// Whole traces.
struct TraceRecorder {
    static int64_t work_bytes(int64_t sites) { return Tiles::bytes(sites); }
    const Arguments& a;
    Tiles tiles;

    TraceRecorder(const Arguments& arguments, void* work) : a(arguments) {
        tiles.tile = static_cast<R*>(work);
        tiles.sites = a.recorded;
    }

    void begin(const Lanes& lanes) {
        for (int lane = 0; lane < W; ++lane) {
            if (lanes.stimulus[lane] < 0) continue;
            tiles.stride[lane] = lanes.end[lane] + 1;
            R* const all = a.stimuli[lanes.stimulus[lane]].out;
            tiles.start[lane] = all + lanes.individual[lane] * a.recorded * tiles.stride[lane];
        }
    }

    void sample(const Block& b, int64_t at, const Lanes& lanes) { tiles.sample(b, a.site, at, lanes); }
    void finish(int lane, int64_t at) { tiles.finish(lane, at); }
    bool end(const Lanes&) { return true; }
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
