// Where the sums of the tree's linear system are kept.
#pragma once
#include <vector>

// Where sums over children start and are kept, so that none has to be set to zero: the first child to come adds to the
// row of zeros, or to that of the injected current, and leaves the sum in its parent's row.
struct Sums {
    std::vector<int> start;  // [N]: the row that a node's sum starts from
    std::vector<int> own, parents;
    int rows = INJECTED;

    explicit Sums(const Arguments& a) : start(N + 2, ZEROS), own(N), parents(N) {
        for (int64_t one = 0; one < a.stimuli_count; ++one)
            for (int64_t k = 0; k < a.stimuli[one].injections; ++k) {
                int& row = start[a.stimuli[one].injected[k]];
                if (row == ZEROS) row = rows++;
            }
        std::vector<int> row = start;
        for (int i = N - 1; i >= 0; --i) {
            own[i] = row[i];
            parents[i] = row[parent[i]];
            row[parent[i]] = parent[i];
        }
    }
};
