/* A driver with two GPUs, as far as the real pynvml looks into it; the tests set what the GPUs say. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { N_BOARDS = 2, N_SLICES = 2, N_PIDS = 8, NOT_SUPPORTED = 3, NOT_FOUND = 6, TOO_SMALL = 7 };
typedef unsigned long long u64;
typedef struct {
  char uuid[96];
  u64 mj, mw, instant_mw, thermal_ns, power_ns, reasons, watts, default_mw, limit_mw, persistence, mig, virtual_mode,
      celsius, busy_pct, mhz, capability;
  unsigned pids[N_PIDS], n_pids;
} gpu_t;

static gpu_t boards[N_BOARDS], slices[N_BOARDS][N_SLICES];
static unsigned n_boards = N_BOARDS;
static int cuda_version = 12040;
static struct { unsigned board; char call[64]; int code; } refusals[32];
static unsigned n_refusals, is_set;

/* --- what the tests say --- */

void stub_refuse(unsigned board, const char *call, int code) {
  refusals[n_refusals].board = board, refusals[n_refusals].code = code;
  snprintf(refusals[n_refusals++].call, sizeof refusals->call, "%s", call);
}

void stub_reset(void) {
  n_boards = N_BOARDS, n_refusals = 0, cuda_version = 12040, is_set = 1;
  memset(boards, 0, sizeof boards);
  for (unsigned i = 0; i < N_BOARDS; i++) {
    gpu_t *gpu = &boards[i];
    snprintf(gpu->uuid, sizeof gpu->uuid, "GPU-%s1111-0000-0000-0000-000000000000", i ? "bbbb" : "aaaa");
    gpu->mj = 1000 + 4000 * i, gpu->mw = 70000, gpu->celsius = 40 + i, gpu->busy_pct = 90, gpu->mhz = 1410;
    gpu->limit_mw = gpu->default_mw = 250000, gpu->persistence = 1, gpu->capability = 80;
    for (unsigned j = 0; j < N_SLICES; j++)
      snprintf(slices[i][j].uuid, sizeof slices[i][j].uuid, "MIG-%u%u22-0000-0000-0000-000000000000", i, j);
  }
  /* in a process of its own the driver is told through the environment; with watts its counters run by themselves */
  const char *watts = getenv("STUB_NVML_WATTS"), *refused = getenv("STUB_NVML_REFUSE"), *mig = getenv("STUB_NVML_MIG");
  for (unsigned i = 0; i < N_BOARDS; i++) {
    if (watts) boards[i].watts = atoi(watts);
    if (mig) boards[i].mig = 1;
    if (refused) stub_refuse(i, refused, NOT_SUPPORTED);
  }
}

void stub_gpus(unsigned n) { n_boards = n; }
void stub_cuda(int version) { cuda_version = version; }

int stub_set(unsigned board, const char *name, long long value) {
  gpu_t *gpu = &boards[board];
#define FIELD(field) if (!strcmp(name, #field)) return gpu->field = value, 0
  FIELD(mj); FIELD(mw); FIELD(instant_mw); FIELD(thermal_ns); FIELD(power_ns); FIELD(reasons); FIELD(watts);
  FIELD(default_mw); FIELD(limit_mw); FIELD(persistence); FIELD(mig); FIELD(virtual_mode); FIELD(celsius);
  FIELD(busy_pct); FIELD(mhz); FIELD(capability); FIELD(n_pids);
  return 1;
}

void stub_use(unsigned board, long long mj) { boards[board].mj += mj; }
void stub_process(unsigned board, unsigned pid) { boards[board].pids[boards[board].n_pids++] = pid; }

/* --- what the driver answers --- */

static int refused(const gpu_t *gpu, const char *call) {
  for (unsigned i = n_refusals; i-- > 0;)
    if (gpu == &boards[refusals[i].board] && !strcmp(call, refusals[i].call)) return refusals[i].code;
  return 0;
}
#define ANSWER(...) int code = refused(gpu, __func__); if (!code) { __VA_ARGS__; } return code
#define GETTER(call, type, expression) int call(gpu_t *gpu, type *answer) { ANSWER(*answer = (expression)); }

static unsigned read_mw(const gpu_t *gpu) { /* no sensor of a board that computes stands still to the milliwatt */
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return gpu->watts * 1000 + (now.tv_nsec / 100000000 % 2 ? 50 : -50);
}

static u64 counted_mj(const gpu_t *gpu) { /* moves ten times a second, as the real ones do */
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return gpu->mj + gpu->watts * 100 * (u64)(now.tv_sec * 10 + now.tv_nsec / 100000000);
}

int nvmlInitWithFlags(unsigned flags) { if (!is_set) stub_reset(); return 0; }
int nvmlShutdown(void) { return 0; }
const char *nvmlErrorString(int code) { return code == NOT_SUPPORTED ? "Not Supported" : "stub error"; }
int nvmlSystemGetDriverVersion(char *text, unsigned size) { return snprintf(text, size, "550.54.14"), 0; }
int nvmlSystemGetCudaDriverVersion_v2(int *version) { return *version = cuda_version, 0; }
int nvmlDeviceGetCount_v2(unsigned *n) { return *n = n_boards, 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned i, gpu_t **gpu) { return i < n_boards ? *gpu = &boards[i], 0 : 2; }
int nvmlDeviceGetUUID(gpu_t *gpu, char *text, unsigned size) { ANSWER(snprintf(text, size, "%s", gpu->uuid)); }
int nvmlDeviceGetName(gpu_t *gpu, char *text, unsigned size) { ANSWER(snprintf(text, size, "Stub T4")); }

GETTER(nvmlDeviceGetTotalEnergyConsumption, u64, counted_mj(gpu))
GETTER(nvmlDeviceGetPowerUsage, unsigned, gpu->watts ? read_mw(gpu) : gpu->mw)
GETTER(nvmlDeviceGetCurrentClocksThrottleReasons, u64, gpu->reasons)
GETTER(nvmlDeviceGetPowerManagementLimit, unsigned, gpu->limit_mw)
GETTER(nvmlDeviceGetPowerManagementDefaultLimit, unsigned, gpu->default_mw)
GETTER(nvmlDeviceGetPersistenceMode, unsigned, gpu->persistence)
GETTER(nvmlDeviceGetVirtualizationMode, u64, gpu->virtual_mode)
GETTER(nvmlDeviceGetMaxMigDeviceCount, unsigned, N_SLICES + 1)

int nvmlDeviceGetMigMode(gpu_t *gpu, unsigned *now, unsigned *later) { ANSWER(*now = *later = gpu->mig); }
int nvmlDeviceGetTemperature(gpu_t *gpu, int sensor, unsigned *celsius) { ANSWER(*celsius = gpu->celsius); }
int nvmlDeviceGetClockInfo(gpu_t *gpu, int kind, unsigned *mhz) { ANSWER(*mhz = gpu->mhz); }

int nvmlDeviceGetMigDeviceHandleByIndex(gpu_t *gpu, unsigned place, gpu_t **slice) {
  int code = refused(gpu, __func__);
  if (code || !gpu->mig || place == 0 || place > N_SLICES) return code ? code : NOT_FOUND; /* place 0 is empty */
  *slice = &slices[gpu - boards][place - 1];
  return 0;
}

int nvmlDeviceGetCudaComputeCapability(gpu_t *gpu, int *major, int *minor) {
  ANSWER(*major = gpu->capability / 10, *minor = gpu->capability % 10);
}

typedef struct { unsigned gpu, memory; } rates_t;
int nvmlDeviceGetUtilizationRates(gpu_t *gpu, rates_t *rates) {
  ANSWER(rates->gpu = gpu->busy_pct, rates->memory = 0);
}

typedef struct { u64 total, free, used; } memory_t;
int nvmlDeviceGetMemoryInfo(gpu_t *gpu, memory_t *memory) {
  ANSWER(memory->total = 16ULL << 30, memory->free = memory->used = 8ULL << 30);
}

typedef struct { u64 reference_us, violation_ns; } violation_t;
int nvmlDeviceGetViolationStatus(gpu_t *gpu, int policy, violation_t *status) {
  ANSWER(status->reference_us = 0, status->violation_ns = policy == 1 ? gpu->thermal_ns : gpu->power_ns);
}

typedef struct {
  unsigned field, scope;
  long long stamp, latency;
  int type, code;
  union { double d; unsigned u; } value;
} field_t;

int nvmlDeviceGetFieldValues(gpu_t *gpu, int n, field_t *fields) {
  int code = refused(gpu, __func__);
  for (int i = 0; !code && i < n; i++) {
    fields[i].code = fields[i].field == 186 && gpu->instant_mw ? 0 : NOT_SUPPORTED; /* POWER_INSTANT */
    fields[i].type = 1, fields[i].value.u = gpu->instant_mw;
  }
  return code;
}

typedef struct { unsigned pid; u64 used_bytes; unsigned gpu_instance, compute_instance; } process_t;
int nvmlDeviceGetComputeRunningProcesses_v3(gpu_t *gpu, unsigned *n, process_t *found) {
  int code = refused(gpu, __func__);
  unsigned room = *n;
  if (code) return code;
  *n = gpu->n_pids;
  if (gpu->n_pids > room || (gpu->n_pids && !found)) return TOO_SMALL;
  for (unsigned i = 0; i < gpu->n_pids; i++) found[i] = (process_t){gpu->pids[i], 1 << 20, -1, -1};
  return 0;
}
