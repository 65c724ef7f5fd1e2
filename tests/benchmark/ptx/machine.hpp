// What translated kernels run on: threads as fibers, barriers, warps, checked memory.
//
// A block's threads run one at a time, each until it must wait for others. Blocks run one after another.
// Sources: NVIDIA, Parallel Thread Execution ISA 8.7: "Memory Consistency Model", `bar`, `bar.warp.sync`,
// `shfl.sync`, `vote.sync`, `redux.sync`, `elect.sync`; "Cache Operators" for alignment of accesses.

#include <cmath>
#include <cstdint>
#include <cstring>
#include <sys/mman.h>
#ifndef __x86_64__
#include <ucontext.h>
#endif

using u8 = uint8_t; using u16 = uint16_t; using u32 = uint32_t; using u64 = uint64_t;
using s8 = int8_t; using s16 = int16_t; using s32 = int32_t; using s64 = int64_t;
using f32 = float; using f64 = double;

// ---- what the host fills in (mirrored by machine.py) ---------------------------------------------------

enum Fault : u32 {
    NONE, OUTSIDE, MISALIGNED, SHARED_OUTSIDE, SHARED_MISALIGNED, SHARED_UNWRITTEN, SHARED_RACE,
    GLOBAL_UNWRITTEN, ENDED_BEFORE_BARRIER, DIVERGED, STUCK, TRAPPED, DIVIDED_BY_ZERO, NO_MEMORY
};

struct Buffer { u64 begin, end; u32 fresh, pad; };

struct Job {
    u32 grid[3], threads[3];
    u32 shared_bytes, buffers;
    const Buffer* buffer;
    const u8* parameters;
    u64 seed;
    u32 check_shared_unwritten, check_shared_races, check_fresh, poison;
    u32 (*more_buffers)(u64 address);   // returns 1 when `buffer` and `buffers` were renewed
    // What went wrong:
    u32 fault, line, thread, other;
    u32 block[3], bytes;
    u64 address, steps;
};

// ---- threads -------------------------------------------------------------------------------------------

struct Thread; struct Block;
using Body = void (*)(Thread&);

enum State : u32 { READY, AT_BARRIER, IN_WARP, ENDED };

struct Warp { u32 first, lanes, epoch; };

struct Thread {
    u32 tid[3], index, lane, state, line;
    Warp* warp; Block* block;
    // What it brought to a meeting of lanes, and what it takes from it.
    u32 kind, mask, value, b, c, met; bool found;
    void* stack; u8* memory;
#ifndef __x86_64__
    ucontext_t context;
#endif
};

struct Mark { u32 write_epoch, write_warp, read_epoch, read_warp; u16 writer, reader; };
constexpr u16 NOBODY = 0xffff, SEVERAL = 0xfffe, OF_WARP = 0x8000;  // OF_WARP | w: several of warp w

struct Block {
    Job* job; Thread* thread; Warp* warp; u32 threads, ctaid[3], epoch;
    u8* shared; Mark* mark; void* stack; Thread* running; u32 last_buffer;
    u64 random;
#ifndef __x86_64__
    ucontext_t context;
#endif
};

static Block block;
static Body the_body;

#ifdef __x86_64__
asm(R"(
    .text
    .type ptx_switch, @function
ptx_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
)");
extern "C" __attribute__((visibility("hidden"))) void ptx_switch(void** keep, void* take);
#endif

static void leave(Thread& t) {  // back to the block's loop, until the thread is resumed
#ifdef __x86_64__
    ptx_switch(&t.stack, block.stack);
#else
    swapcontext(&t.context, &block.context);
#endif
}

static void first_step() {
    Thread& t = *block.running;
    the_body(t);
    t.state = ENDED;
    leave(t);
    __builtin_trap();
}

constexpr size_t STACK = 1 << 18;

static void prepare(Thread& t) {
#ifdef __x86_64__
    void** top = reinterpret_cast<void**>(t.memory + STACK);
    *--top = nullptr;  // a return address that is never used; keeps the alignment of calls
    *--top = reinterpret_cast<void*>(first_step);
    for (int register_ = 0; register_ < 6; ++register_) *--top = nullptr;
    t.stack = top;
#else
    getcontext(&t.context);
    t.context.uc_stack.ss_sp = t.memory;
    t.context.uc_stack.ss_size = STACK;
    t.context.uc_link = nullptr;
    makecontext(&t.context, first_step, 0);
#endif
}

static void resume(Thread& t) {
    block.running = &t;
#ifdef __x86_64__
    ptx_switch(&block.stack, t.stack);
#else
    swapcontext(&block.context, &t.context);
#endif
}

__attribute__((noinline)) static void fail(
    Thread& t, u32 fault, u32 line, u64 address = 0, u32 bytes = 0, u32 other = 0) {
    Job& job = *block.job;
    job.fault = fault; job.line = line; job.thread = t.index; job.other = other;
    job.address = address; job.bytes = bytes;
    std::memcpy(job.block, block.ctaid, sizeof job.block);
    t.state = ENDED;
    leave(t);  // for good: the block's loop sees the fault
    __builtin_trap();
}

// ---- meetings ------------------------------------------------------------------------------------------

static void barrier(Thread& t, u32 line) {
    t.state = AT_BARRIER; t.line = line;
    leave(t);
}

enum Meeting : u32 {
    SYNC, SHFL_UP, SHFL_DOWN, SHFL_BFLY, SHFL_IDX, VOTE_ALL, VOTE_ANY, VOTE_UNI, VOTE_BALLOT, ELECT,
    REDUX_ADD, REDUX_MIN_S, REDUX_MAX_S, REDUX_MIN_U, REDUX_MAX_U, REDUX_AND, REDUX_OR, REDUX_XOR
};

static u32 reduced(u32 kind, u32 a, u32 b) {
    switch (kind) {
        case REDUX_ADD: return a + b;
        case REDUX_MIN_S: return s32(a) < s32(b) ? a : b;
        case REDUX_MAX_S: return s32(a) > s32(b) ? a : b;
        case REDUX_MIN_U: return a < b ? a : b;
        case REDUX_MAX_U: return a > b ? a : b;
        case REDUX_AND: return a & b;
        case REDUX_OR: return a | b;
        default: return a ^ b;
    }
}

static void shuffle(Thread& t, Thread* lanes, u32 mask) {
    u32 top = t.c & 31, segment = (t.c >> 8) & 31, b = t.b & 31;
    u32 most = (t.lane & segment) | (top & ~segment), least = t.lane & segment;
    s32 from; bool inside;
    switch (t.kind) {
        case SHFL_UP: from = s32(t.lane) - s32(b); inside = from >= s32(most); break;
        case SHFL_DOWN: from = s32(t.lane + b); inside = from <= s32(most); break;
        case SHFL_BFLY: from = s32(t.lane ^ b); inside = from <= s32(most); break;
        default: from = s32(least | (b & ~segment)); inside = from <= s32(most);
    }
    if (!inside) from = s32(t.lane);
    // The value of a lane that does not take part is undefined.
    if (!(mask >> from & 1)) fail(*block.running, DIVERGED, t.line, 0, 0, t.warp->first + u32(from));
    t.met = lanes[from].value; t.found = inside;
}

// All lanes of `mask` must come, to the same instruction and with the same mask.
static void meet(Thread& t, u32 kind, u32 mask, u32 line, u32 value = 0, u32 b = 0, u32 c = 0) {
    Warp& warp = *t.warp;
    Thread* lanes = block.thread + warp.first;
    if (warp.lanes < 32) mask &= (1u << warp.lanes) - 1;
    if (!(mask >> t.lane & 1)) fail(t, DIVERGED, line, 0, 0, t.index);
    t.kind = kind; t.mask = mask; t.line = line; t.value = value; t.b = b; t.c = c;
    t.state = IN_WARP;
    bool whole = true;
    for (u32 lane = 0; lane < warp.lanes; ++lane) {
        if (!(mask >> lane & 1)) continue;
        Thread& other = lanes[lane];
        if (other.state == ENDED || other.state == AT_BARRIER) fail(t, DIVERGED, line, 0, 0, other.index);
        whole = whole && other.state == IN_WARP && other.line == line && other.mask == mask;
    }
    if (!whole) { leave(t); return; }
    u32 all = ~0u, any = 0, ballot = 0, sum = 0; bool begun = false;
    for (u32 lane = 0; lane < warp.lanes; ++lane) {
        if (!(mask >> lane & 1)) continue;
        Thread& other = lanes[lane];
        if (other.value) ballot |= 1u << lane;
        all &= other.value ? ~0u : 0u; any |= other.value;
        sum = begun ? reduced(kind, sum, other.value) : other.value; begun = true;
    }
    for (u32 lane = 0; lane < warp.lanes; ++lane) {
        if (!(mask >> lane & 1)) continue;
        Thread& other = lanes[lane];
        switch (kind) {
            case SYNC: break;
            case SHFL_UP: case SHFL_DOWN: case SHFL_BFLY: case SHFL_IDX: shuffle(other, lanes, mask); break;
            case VOTE_ALL: other.found = all; break;
            case VOTE_ANY: other.found = any; break;
            case VOTE_UNI: other.found = all || !any; break;
            case VOTE_BALLOT: other.met = ballot; break;
            case ELECT: other.met = u32(__builtin_ctz(mask)); other.found = lane == other.met; break;
            default: other.met = sum;
        }
    }
    for (u32 lane = 0; lane < warp.lanes; ++lane)
        if (mask >> lane & 1) lanes[lane].state = READY;
    if (kind == SYNC) ++warp.epoch;
}

// ---- memory --------------------------------------------------------------------------------------------

__attribute__((noinline)) static u8* global_at(Thread& t, u64 address, u32 bytes, u32 line, bool reads) {
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
            if (reads && job.check_fresh && job.buffer[low].fresh)
                for (u64 word = address & ~u64(3); word < address + bytes; word += 4)
                    if (*reinterpret_cast<const u32*>(word) == job.poison)
                        fail(t, GLOBAL_UNWRITTEN, line, word, bytes);
            return reinterpret_cast<u8*>(address);
        }
        if (attempt || !job.more_buffers || !job.more_buffers(address)) fail(t, OUTSIDE, line, address, bytes);
    }
}

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

// `data` is what will be written: equal values may be written by several threads at once, as warps do that
// hold copies of one value.
__attribute__((noinline)) static u8* shared_at(
    Thread& t, u64 address, u32 bytes, u32 line, bool reads, const u8* data = nullptr, bool atomic = false) {
    Job& job = *block.job;
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

// ---- a launch ------------------------------------------------------------------------------------------

static u32 random_below(u32 bound) {
    block.random ^= block.random << 13; block.random ^= block.random >> 7; block.random ^= block.random << 17;
    return u32((block.random >> 16) % bound);
}
static void shuffle_order(u32* order, u32 count) {
    if (block.job->seed)
        for (u32 last = count; last > 1; --last) {
            u32 other = random_below(last), kept = order[last - 1];
            order[last - 1] = order[other]; order[other] = kept;
        }
}

static void run_block(u32* order) {
    Job& job = *block.job;
    block.epoch = 1; block.last_buffer = 0;
    if (job.shared_bytes) {
        std::memset(block.shared, 0xA5, job.shared_bytes);
        for (u32 place = 0; place < job.shared_bytes; ++place) block.mark[place] = {0, 0, 0, 0, NOBODY, NOBODY};
    }
    for (u32 index = 0; index < block.threads; ++index) {
        Thread& t = block.thread[index];
        t.state = READY; prepare(t);
        if (t.lane == 0) t.warp->epoch = 1;
    }
    for (;;) {
        bool ran = false;
        u32 waiting = 0, ended = 0;
        shuffle_order(order, block.threads);
        for (u32 place = 0; place < block.threads; ++place) {
            Thread& t = block.thread[order[place]];
            if (t.state == READY) { resume(t); ran = true; ++job.steps; }
            if (job.fault) return;
        }
        for (u32 index = 0; index < block.threads; ++index) {
            waiting += block.thread[index].state == AT_BARRIER; ended += block.thread[index].state == ENDED;
        }
        if (ended == block.threads) return;
        if (ran && waiting + ended < block.threads) continue;
        for (u32 index = 0; index < block.threads; ++index) {
            Thread& t = block.thread[index];
            block.running = &t;
            u32 fault = NONE;
            if (t.state == AT_BARRIER && ended) fault = ENDED_BEFORE_BARRIER;
            else if (t.state == AT_BARRIER && t.line != block.thread[index / 32 * 32].line) fault = DIVERGED;
            else if (waiting < block.threads) fault = t.state == IN_WARP ? u32(STUCK) : u32(NONE);
            if (fault) {
                job.fault = fault; job.line = t.line; job.thread = index; job.other = index / 32 * 32;
                std::memcpy(job.block, block.ctaid, sizeof job.block);
                return;
            }
        }
        for (u32 index = 0; index < block.threads; ++index) block.thread[index].state = READY;
        ++block.epoch;
    }
}

static void* room(size_t bytes) {
    void* got = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return got == MAP_FAILED ? nullptr : got;
}

static void run_grid(Job* job, Body body) {
    u32 threads = job->threads[0] * job->threads[1] * job->threads[2];
    u64 blocks = u64(job->grid[0]) * job->grid[1] * job->grid[2];
    if (!blocks) return;
    size_t shared = size_t(job->shared_bytes) + 16, sizes[] = {
        STACK * threads, sizeof(Thread) * threads, sizeof(Warp) * (threads / 32 + 1), shared, shared * sizeof(Mark),
        sizeof(u32) * threads, sizeof(u32) * blocks};
    void* parts[7] = {};
    bool whole = true;
    for (int part = 0; part < 7; ++part) whole = (parts[part] = room(sizes[part])) && whole;
    if (!whole) job->fault = NO_MEMORY;
    block = Block{};
    block.job = job; block.threads = threads; block.random = job->seed * 0x9E3779B97F4A7C15ull + 1;
    the_body = body;
    block.thread = static_cast<Thread*>(parts[1]); block.warp = static_cast<Warp*>(parts[2]);
    block.shared = static_cast<u8*>(parts[3]); block.mark = static_cast<Mark*>(parts[4]);
    u32 *order = static_cast<u32*>(parts[5]), *blocks_in_order = static_cast<u32*>(parts[6]);
    for (u32 index = 0; whole && index < threads; ++index) {
        Thread& t = block.thread[index];
        u32 x = job->threads[0], y = job->threads[1];
        t.tid[0] = index % x; t.tid[1] = index / x % y; t.tid[2] = index / x / y;
        t.index = index; t.lane = index % 32; t.block = &block;
        t.warp = block.warp + index / 32;
        *t.warp = {index / 32 * 32, threads - index / 32 * 32 < 32 ? threads - index / 32 * 32 : 32, 1};
        t.memory = static_cast<u8*>(parts[0]) + STACK * index;
        order[index] = index;
    }
    for (u64 place = 0; whole && place < blocks; ++place) blocks_in_order[place] = u32(place);
    if (whole) shuffle_order(blocks_in_order, u32(blocks));
    for (u64 place = 0; place < blocks && !job->fault; ++place) {
        u32 number = blocks_in_order[place];
        block.ctaid[0] = number % job->grid[0];
        block.ctaid[1] = number / job->grid[0] % job->grid[1];
        block.ctaid[2] = number / job->grid[0] / job->grid[1];
        run_block(order);
    }
    for (int part = 0; part < 7; ++part) if (parts[part]) munmap(parts[part], sizes[part]);
}
