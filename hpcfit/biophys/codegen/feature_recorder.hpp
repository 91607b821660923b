// Features of simulations whose traces nobody keeps.  A thread holds the samples of its block of lanes, each lane's side
// by side; when the block is done the extractor reads them, on the same thread, and the next block takes their place.
// It is the extractor that reads stored traces, called through a pointer, so its numbers are the same to the last bit.
#pragma once
#include "recorders.hpp"

struct FeatureRecorder {
    static int64_t work_bytes(int64_t sites, int64_t samples) {
        return Tiles::bytes(sites) + sites * W * samples * int64_t(sizeof(R));
    }
    Arguments& a;
    Tiles tiles;
    R* samples;     // [sites][lanes][samples of the lane's stimulus]
    int64_t width;  // samples of all lanes

    FeatureRecorder(Arguments& arguments, void* work) : a(arguments) {
        tiles.tile = static_cast<R*>(work);
        tiles.sites = a.recorded;
        samples = tiles.tile + Tiles::bytes(a.recorded) / int64_t(sizeof(R));
    }

    void begin(const Lanes& lanes) {
        width = 0;
        for (int lane = 0; lane < W; ++lane) {
            if (lanes.stimulus[lane] < 0) continue;
            tiles.start[lane] = samples + width;
            width += lanes.end[lane] + 1;
        }
        for (int lane = 0; lane < W; ++lane) tiles.stride[lane] = width;
    }

    void sample(const Block& b, int64_t at, const Lanes& lanes) { tiles.sample(b, a.site, at, lanes); }
    void finish(int lane, int64_t at) { tiles.finish(lane, at); }

    // One call for neighbours that continue each other in what they are read from and in where their numbers go.
    bool end(const Lanes& lanes) {
        const double begun = thread_seconds();
        for (int lane = 0, next; lane < W; lane = next) {
            next = lane + 1;
            if (!done(lanes, lane)) continue;
            while (next < W && done(lanes, next) && lanes.stimulus[next] == lanes.stimulus[lane] &&
                   lanes.individual[next] == lanes.individual[next - 1] + 1)
                ++next;
            read(lanes, lane, next - lane);
        }
        const double took = thread_seconds() - begun;
#pragma omp atomic
        a.reading_s += took;
        return true;
    }

    static bool done(const Lanes& lanes, int lane) { return lanes.stimulus[lane] >= 0 && lanes.ending[lane] == DONE; }

    void read(const Lanes& lanes, int lane, int64_t count) const {
        const Stimulus& stimulus = a.stimuli[lanes.stimulus[lane]];
        for (const Reading* one = stimulus.reading; one < stimulus.reading + stimulus.readings; ++one) {
            const int64_t first = lanes.individual[lane] * one->features;
            a.read(one->plan, tiles.start[lane] + one->site * width, sizeof(R) == 4, count, one->wanted, one->features,
                   one->mean + first, one->count + first, one->reason + first);
        }
    }
};
