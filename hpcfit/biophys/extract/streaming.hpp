// What a simulator calls for the traces that one of its threads has just made: as hpcfit_extract, on that thread alone.
extern "C" void hpcfit_read(const void* plan, const void* traces, int single, int64_t count, const int32_t* wanted,
                            int64_t features, double* mean, int32_t* counts, uint8_t* reason) {
    hpcfit_extract(static_cast<const features::Plan*>(plan), traces, single, long(count), wanted, int(features), 1, 0,
                   mean, counts, reason);
}
