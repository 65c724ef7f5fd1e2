// Checked memory, global and shared.
//
// Source: NVIDIA, Parallel Thread Execution ISA 8.7: "Operand Addressing" (alignment), "Memory Consistency Model"
// (data races). Included behind machine.hpp.

enum Access : u32 { READ, WRITE, ATOMIC, ORDERED };  // ORDERED: a load that says how it is ordered

// ---- who touched a byte -----------------------------------------------------------------------------------

static bool ordered(u16 who, u32 epoch, u32 warp_epoch, const Thread& t) {
    if (who == NOBODY || who == t.index || epoch < block.epoch) return true;
    if (who == SEVERAL) return false;
    return (who & OF_WARP ? who ^ OF_WARP : who / 32) == s32(t.index / 32) && warp_epoch < t.warp->epoch;
}

// Who touched a byte, after `t` did too.
static u16 joined(u16 who, bool alone, const Thread& t) {
    u16 mine = u16(OF_WARP | t.index / 32);
    if (alone) return u16(t.index);
    return who == mine || (who < OF_WARP && who / 32 == t.index / 32) ? mine : SEVERAL;
}

// ---- what threads do to bytes of global memory ------------------------------------------------------------

// The blocks that wrote and read a byte last in this launch, their numbers + 1; and the threads, if it was one.
struct Trace { u32 writer, reader; Mark mark; };
constexpr u32 BY_ATOMIC = 1u << 31, MANY = ~0u;
constexpr u64 PAGE = 4096;

struct Traces {  // pages of traces by address, in an open hash table
    u64* page; Trace** trace; u64 slots, used, last; Trace* of_last;
};
static Traces traces;

static Trace* trace_of(u64 page) {
    if (traces.of_last && traces.last == page) return traces.of_last;
    if (2 * traces.used >= traces.slots) {
        Traces larger = {};
        larger.slots = traces.slots ? 2 * traces.slots : 256;
        larger.page = static_cast<u64*>(std::calloc(larger.slots, sizeof(u64)));
        larger.trace = static_cast<Trace**>(std::calloc(larger.slots, sizeof(Trace*)));
        larger.used = traces.used;
        for (u64 slot = 0; slot < traces.slots; ++slot) {
            if (!traces.trace[slot]) continue;
            u64 place = traces.page[slot] * 0x9E3779B97F4A7C15ull >> 20 & (larger.slots - 1);
            while (larger.trace[place]) place = (place + 1) & (larger.slots - 1);
            larger.page[place] = traces.page[slot]; larger.trace[place] = traces.trace[slot];
        }
        std::free(traces.page); std::free(traces.trace);
        traces = larger;
    }
    u64 place = page * 0x9E3779B97F4A7C15ull >> 20 & (traces.slots - 1);
    while (traces.trace[place] && traces.page[place] != page) place = (place + 1) & (traces.slots - 1);
    if (!traces.trace[place]) {
        traces.page[place] = page; ++traces.used;
        traces.trace[place] = static_cast<Trace*>(std::calloc(PAGE, sizeof(Trace)));
    }
    traces.last = page;
    return traces.of_last = traces.trace[place];
}

static void forget_traces() {
    for (u64 slot = 0; slot < traces.slots; ++slot) std::free(traces.trace[slot]);
    std::free(traces.page); std::free(traces.trace);
    traces = {};
}

// Blocks run in any order on a device, and threads of one between two barriers: what one writes, another must
// neither read nor write otherwise.
static void trace(Thread& t, u64 address, u32 bytes, u32 line, Access how, const u8* data) {
    Trace* of_page = trace_of(address / PAGE) + address % PAGE;  // aligned: it does not cross a page
    u32 mine = block.number + 1;
    for (u32 byte = 0; byte < bytes; ++byte) {
        Trace& seen = of_page[byte];
        Mark& mark = seen.mark;
        u32 writer = seen.writer & ~BY_ATOMIC;
        bool atomic = seen.writer & BY_ATOMIC;
        if (writer != mine) mark.writer = NOBODY;
        if (seen.reader != mine) mark.reader = NOBODY;
        bool after_write = ordered(mark.writer, mark.write_epoch, mark.write_warp, t);
        bool after_read = ordered(mark.reader, mark.read_epoch, mark.read_warp, t);
        bool equal = how == WRITE && data[byte] == *reinterpret_cast<const u8*>(address + byte);
        bool against_write = !equal && how != ORDERED && !(how == ATOMIC && atomic);
        bool against_read = !equal && (how == WRITE || how == ATOMIC);
        if (against_write && writer && writer != mine) fail(t, GLOBAL_RACE, line, address, bytes, writer - 1);
        if (against_read && seen.reader && seen.reader != mine)
            fail(t, GLOBAL_RACE, line, address, bytes, seen.reader - 1);
        if (against_write && !after_write) fail(t, GLOBAL_RACE_INSIDE, line, address, bytes, mark.writer);
        if (against_read && !after_read) fail(t, GLOBAL_RACE_INSIDE, line, address, bytes, mark.reader);
        if (how == READ) {
            seen.reader = !seen.reader || seen.reader == mine ? mine : MANY;
            mark.reader = joined(mark.reader, after_read, t);
            mark.read_epoch = block.epoch; mark.read_warp = t.warp->epoch;
        } else if (how != ORDERED) {
            seen.writer = mine | (how == ATOMIC && (atomic || !writer) ? BY_ATOMIC : 0);
            mark.writer = joined(mark.writer, after_write, t);
            mark.write_epoch = block.epoch; mark.write_warp = t.warp->epoch;
        }
    }
}

__attribute__((noinline)) static u8* global_at(
    Thread& t, u64 address, u32 bytes, u32 line, Access how, const u8* data = nullptr) {
    Job& job = *block.job;
    if (address & (bytes - 1)) fail(t, MISALIGNED, line, address, bytes);
    for (int attempt = 0;; ++attempt) {
        u32 low = block.last_buffer;
        if (low >= job.buffers || address < job.buffer[low].begin || address >= job.buffer[low].end) {
            u32 high = job.buffers;
            low = 0;
            while (low < high) {  // the first buffer that ends behind the address
                u32 middle = (low + high) / 2;
                if (job.buffer[middle].end <= address) low = middle + 1; else high = middle;
            }
        }
        if (low < job.buffers && address >= job.buffer[low].begin && address + bytes <= job.buffer[low].end) {
            block.last_buffer = low;
            if (how != WRITE && job.check_fresh && job.buffer[low].fresh)
                for (u64 word = address & ~u64(3); word < address + bytes; word += 4)
                    if (*reinterpret_cast<const u32*>(word) == job.poison)
                        fail(t, GLOBAL_UNWRITTEN, line, word, bytes);
            if (job.check_global_races) trace(t, address, bytes, line, how, data);
            return reinterpret_cast<u8*>(address);
        }
        if (attempt || !job.more_buffers || !job.more_buffers(address)) fail(t, OUTSIDE, line, address, bytes);
    }
}

// ---- what threads do to bytes of shared memory ------------------------------------------------------------

// `data` is what will be written: equal values may be written by several threads at once, as warps do that
// hold copies of one value.
__attribute__((noinline)) static u8* shared_at(
    Thread& t, u64 address, u32 bytes, u32 line, Access how, const u8* data = nullptr) {
    Job& job = *block.job;
    bool reads = how != WRITE, atomic = how == ATOMIC;
    if (address & (bytes - 1)) fail(t, SHARED_MISALIGNED, line, address, bytes);
    if (address + bytes > job.shared_bytes) fail(t, SHARED_OUTSIDE, line, address, bytes);
    u8* place = block.shared + address;
    for (u32 byte = 0; byte < bytes; ++byte) {
        Mark& mark = block.mark[address + byte];
        if (reads && mark.writer == NOBODY && job.check_shared_unwritten)
            fail(t, SHARED_UNWRITTEN, line, address + byte, bytes);
        bool after_write = ordered(mark.writer, mark.write_epoch, mark.write_warp, t);
        bool after_read = ordered(mark.reader, mark.read_epoch, mark.read_warp, t);
        bool equal = data && data[byte] == place[byte];
        if (job.check_shared_races && !atomic) {
            if (!after_write && !equal) fail(t, SHARED_RACE, line, address, bytes, mark.writer);
            if (data && !after_read && !equal) fail(t, SHARED_RACE, line, address, bytes, mark.reader);
        }
        if (data || atomic) {
            mark.writer = joined(mark.writer, after_write, t);
            mark.write_epoch = block.epoch; mark.write_warp = t.warp->epoch;
        }
        if (reads && !atomic) {
            mark.reader = joined(mark.reader, after_read, t);
            mark.read_epoch = block.epoch; mark.read_warp = t.warp->epoch;
        }
    }
    return place;
}
