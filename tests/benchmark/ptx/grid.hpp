// A launch: the blocks of a grid, and the threads of each in turns. Included last.

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
            if (t.state == READY) { resume(t); ran = true; }
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
        block.number = number;
        block.ctaid[0] = number % job->grid[0];
        block.ctaid[1] = number / job->grid[0] % job->grid[1];
        block.ctaid[2] = number / job->grid[0] / job->grid[1];
        run_block(order);
    }
    forget_traces();
    for (int part = 0; part < 7; ++part) if (parts[part]) munmap(parts[part], sizes[part]);
}
