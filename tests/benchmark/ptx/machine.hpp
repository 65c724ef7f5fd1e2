// What translated kernels run on: threads as fibers, barriers, warps, checked memory.
//
// A block's threads run one at a time, each until it must wait for others. Blocks run one after another.
// Sources: NVIDIA, Parallel Thread Execution ISA 8.7: `bar`, `bar.warp.sync`,
// `shfl.sync`, `vote.sync`, `redux.sync`, `elect.sync`.

#include <cmath>
#include <cstdint>
#include <cstdlib>
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
    GLOBAL_UNWRITTEN, GLOBAL_RACE,
    GLOBAL_RACE_INSIDE, ENDED_BEFORE_BARRIER, DIVERGED, STUCK, TRAPPED, DIVIDED_BY_ZERO, NO_MEMORY
};

struct Buffer { u64 begin, end; u32 fresh, pad; };

struct Job {
    u32 grid[3], threads[3];
    u32 shared_bytes, buffers;
    const Buffer* buffer;
    const u8* parameters;
    u64 seed;
    u32 check_shared_unwritten, check_shared_races, check_fresh, check_global_races, poison, pad;
    u32 (*more_buffers)(u64 address);   // returns 1 when `buffer` and `buffers` were renewed
    // What went wrong:
    u32 fault, line, thread, other;
    u32 block[3], bytes;
    u64 address;
    u64 instructions;   // executed by all threads together
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
    u8* shared; Mark* mark; void* stack; Thread* running; u32 last_buffer, number;
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
