// Runs a tape: a list of ops, each of independent items that threads take from a counter; all threads meet after each op.
#include "tape.h"

static Kernel *const KERNELS[] = {map, copy, fill, any, reduce, rmsNorm, rmsNormGradient, softmax, softmaxGradient, rope, gather,
                                  scatterAdd, crossEntropy, crossEntropyGradient, lossPart, lossEnd, lossGradientPart, pack, packNarrow, tiles, product,
                                  gated, gatedGradient, sight, attention, attentionGradient, sumSquares, total};

struct config {
  uint8_t palette, start, reserved[14];
  uint16_t columns[16];
  uint8_t rows[16];
} __attribute__((packed));

static long systemCall(long number, long a, long b) {
  long result;
  __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b) : "rcx", "r11", "memory");
  return result;
}

/** Asks Linux for the tile registers, for all threads of the process. @returns 0 where they may be used */
int cupel_ask_for_tiles(void) { return (int)systemCall(158 /* arch_prctl */, 0x1023 /* ARCH_REQ_XCOMP_PERM */, 18); }

/** What the threads of one run share. `counters` are two zeros an op: items taken and threads done. */
typedef struct {
  const double *ops;
  int64_t count;
  char *const *slots;
  char *scratch;
  int32_t *counters, amx;
  double *times;
  /** 0 until it is known how many could be started. */
  int32_t threads;
} Job;

typedef struct {
  const Job *job;
  int32_t thread, fault;
  unsigned long id;
} Part;

// of the C library that Node has loaded, whichever it is
int pthread_create(unsigned long *thread, const void *attributes, void *(*start)(void *), void *argument);
int pthread_join(unsigned long thread, void **result);

static void *runPart(void *given) {
  Part *part = given;
  const Job *job = part->job;
  int32_t thread = part->thread, threads, amx = job->amx, *counters = job->counters;
  while ((threads = __atomic_load_n(&job->threads, __ATOMIC_ACQUIRE)) == 0) _mm_pause();
  double *times = thread == 0 ? job->times : 0;
  Run run = {job->slots, job->scratch + (int64_t)thread * SCRATCH, amx, &part->fault};
  if (amx) {
    struct config c;
    memset(&c, 0, sizeof c);
    c.palette = 1;
    for (int i = 0; i < 8; i++) { c.columns[i] = 64; c.rows[i] = 16; }
    _tile_loadconfig(&c);
  }
  // denormal numbers cost a hundred times the cycles of others
  unsigned state = _mm_getcsr();
  _mm_setcsr(state | 0x8040);
  uint64_t before = __builtin_ia32_rdtsc();
  for (int64_t i = 0; i < job->count; i++) {
    Op op = job->ops + i * WIDTH;
    Kernel *kernel = KERNELS[(int)op[0]];
    int64_t items = (int64_t)op[1];
    int32_t *taken = counters + 2 * i, *done = taken + 1;
    for (;;) {
      int32_t item = __atomic_fetch_add(taken, 1, __ATOMIC_RELAXED);
      if (item >= items) break;
      kernel(op, item, &run);
    }
    // what was written past the caches is there before anybody is told
    _mm_sfence();
    if (threads > 1) {
      __atomic_fetch_add(done, 1, __ATOMIC_ACQ_REL);
      for (int spins = 0; __atomic_load_n(done, __ATOMIC_ACQUIRE) < threads; spins++) {
        if (spins < 20000) _mm_pause();
        else systemCall(24 /* sched_yield */, 0, 0);
      }
    }
    if (times) {
      uint64_t now = __builtin_ia32_rdtsc();
      times[i] += (double)(now - before);
      before = now;
    }
  }
  _mm_setcsr(state);
  if (amx) _tile_release();
  return 0;
}

/** Sizes that the other side must know. */
int cupel_width(void) { return WIDTH; }
int cupel_scratch(void) { return SCRATCH; }

#define MOST_THREADS 64

/**
 * Runs a tape on so many threads (64 at most), of which the caller's is one; `scratch` is SCRATCH bytes for each, and `counters` two zeros an op.
 * `times`, unless null: cycles of each op are added, as the first thread sees them.
 * @returns when all is done: 0, or 1 where an index of a table was beyond its rows
 */
int cupel_run(const double *ops, int64_t count, char *const *slots, char *scratch, int32_t *counters, int32_t threads, int32_t amx, double *times) {
  Part parts[MOST_THREADS];
  Job job = {ops, count, slots, scratch, counters, amx, times, 0};
  int32_t started = 1, fault = 0;
  threads = (int32_t)least(threads, MOST_THREADS);
  for (int32_t i = 0; i < threads; i++) parts[i] = (Part){.job = &job, .thread = i};
  for (int32_t i = 1; i < threads; i++)
    if (pthread_create(&parts[i].id, 0, runPart, &parts[i]) == 0) started++;
    else break;
  // those that could not be started are not waited for
  __atomic_store_n(&job.threads, started, __ATOMIC_RELEASE);
  runPart(&parts[0]);
  for (int32_t i = 1; i < started; i++) pthread_join(parts[i].id, 0);
  for (int32_t i = 0; i < started; i++) fault |= parts[i].fault;
  return fault;
}

/** Fresh memory of zeros, in large pages where the system has some. @returns its address, or a small negative number (mmap's error) */
int64_t cupel_memory(int64_t bytes) {
  register long flags __asm__("r10") = 0x22 /* private, anonymous */, file __asm__("r8") = -1, offset __asm__("r9") = 0;
  long address, ignored;
  __asm__ volatile("syscall" : "=a"(address) : "a"(9L), "D"(0L), "S"(bytes), "d"(3L), "r"(flags), "r"(file), "r"(offset) : "rcx", "r11", "memory");
  if (address < 0 && address > -4096) return address;
  __asm__ volatile("syscall" : "=a"(ignored) : "a"(28L), "D"(address), "S"(bytes), "d"(14L /* MADV_HUGEPAGE */) : "rcx", "r11", "memory");
  return address;
}

int cupel_release(int64_t address, int64_t bytes) { return (int)systemCall(11, (long)address, (long)bytes); }

/** SHA-256 of the sources, in the order of their names. */
const char *cupel_source(void) { return SOURCE; }
