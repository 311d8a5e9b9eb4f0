// A GPU's memory and stream, as tensor/device_runtime.h asks for them.
//
// Memory comes from CUDA's own pool in stream order (cudaMallocAsync), so a block that the caching allocator gives back
// may be freed while kernels that were launched before still use it. Copies from the host go through pinned buffers in
// turn: the host writes one while the device reads the others, and waits for the kernels before only when all are
// taken. Small copies (indices, sizes) have many small buffers of their own.
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <vector>

#include "tensor/cuda/runtime.h"

#ifndef TESSERA_CUDA_EMULATED
#include <nvtx3/nvToolsExt.h>
#endif

#include "tensor/allocator.h"
#include "tensor/cuda/values.h"
#include "tensor/device_counts.h"
#include "tensor/device_runtime.h"

namespace tessera::cuda {

namespace {

struct Staging {
  void* data = nullptr;
  cudaEvent_t copied = nullptr;  // recorded after the last copy out of it
};

// Pinned buffers that are used in turn.
struct Ring {
  size_t bytes;  // of one
  std::vector<Staging> buffers;
  size_t turn = 0;
};

// What this process holds of one GPU. Never given back: tensors with static lifetime may be freed after main.
struct Gpu {
  cudaStream_t stream = nullptr, beside = nullptr;  // beside: of branches
  cudaStream_t uploads = nullptr;
  cudaEvent_t branch = nullptr, upload = nullptr;  // recorded where one begins, and where it ends
  Ring small{size_t{16} << 10, std::vector<Staging>(256)}, large{size_t{4} << 20, std::vector<Staging>(2)};
  std::mutex mutex;
};

constinit thread_local int current_index = -1;
constinit thread_local int branch_index = -1;  // the GPU on whose second stream this thread's work goes

cudaMemPool_t memory_pool(int index) {
  cudaMemPool_t pool = nullptr;
  check(cudaDeviceGetDefaultMemPool(&pool, index), "cudaDeviceGetDefaultMemPool");
  return pool;
}

// The GPU, which becomes the current one of this thread.
Gpu& gpu(int index) {
  make_current(index);
  static std::mutex* mutex = new std::mutex;
  static auto* gpus = new std::map<int, Gpu>;
  const std::lock_guard lock(*mutex);
  Gpu& g = (*gpus)[index];
  if (!g.stream) {
    check(cudaStreamCreateWithFlags(&g.stream, cudaStreamNonBlocking), "cudaStreamCreate");
    u64 all = UINT64_MAX;  // what is freed stays the pool's when the stream is waited for
    check(cudaMemPoolSetAttribute(memory_pool(index), cudaMemPoolAttrReleaseThreshold, &all),
          "cudaMemPoolSetAttribute");
  }
  return g;
}

// Where this thread's work goes.
cudaStream_t stream_of(int index) {
  const Gpu& g = gpu(index);
  return branch_index == index ? g.beside : g.stream;
}

DeviceCount count_gpus() {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status == cudaSuccess && count > 0) return {count, ""};
  cudaGetLastError();  // forgets it: the CPU goes on working
  if (status == cudaErrorInsufficientDriver)
    return {0,
            "no GPU can be used: there is no driver, or it is older than the CUDA toolkit of this build "
            "(nvidia-smi tells its version)"};
  if (status == cudaSuccess || status == cudaErrorNoDevice) return {0, "no GPU found"};
  return {0, fmt::format("no GPU can be used: {}", cudaGetErrorString(status))};
}

bool capturing(const Gpu& g) {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  check(cudaStreamIsCapturing(g.stream, &status), "cudaStreamIsCapturing");
  return status != cudaStreamCaptureStatusNone;
}

// For what a graph cannot do again: CUDA would refuse it or, worse, record the address of a buffer that is used for
// something else when the graph is launched.
void refuse_in_capture(const Gpu& g, const char* what) {
  const char* op = OpScope::current();
  TESSERA_CHECK(!capturing(g),
                "cuda: {}{}{} cannot be recorded in a graph: do it before the recording or after a launch",
                op ? op : "", op ? ": " : "", what);
}

void* allocate_memory(size_t bytes, int index) {
  Gpu& g = gpu(index);
  refuse_in_capture(g, "getting device memory");
  void* data = nullptr;
  const cudaStream_t queue = stream_of(index);
  cudaError_t status = cudaMallocAsync(&data, bytes, queue);
  // What was freed stays the pool's until it has been waited for and the pool is trimmed.
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    check(cudaStreamSynchronize(queue), "cudaStreamSynchronize");
    check(cudaMemPoolTrimTo(memory_pool(index), 0), "cudaMemPoolTrimTo");
    status = cudaMallocAsync(&data, bytes, queue);
  }
  if (status == cudaSuccess) return data;
  cudaGetLastError();
  if (status != cudaErrorMemoryAllocation) check(status, "cudaMallocAsync");
  return nullptr;
}

void deallocate_memory(void* block, int index) {
  refuse_in_capture(gpu(index), "giving back device memory");
  cudaFreeAsync(block, stream_of(index));  // unchecked: when the process ends CUDA may have gone before the tensors
}

size_t free_bytes(int index) {
  make_current(index);
  size_t free = 0, total = 0;
  check(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
  return free;
}

void synchronize_stream(int index) {
  refuse_in_capture(gpu(index), "waiting for the device");
  check(cudaStreamSynchronize(stream_of(index)), "cudaStreamSynchronize");
}

// The next buffer, when the device has read what was in it.
Staging& next_staging(Ring& ring) {
  Staging& staging = ring.buffers[ring.turn];
  ring.turn = (ring.turn + 1) % ring.buffers.size();
  if (!staging.data) {
    check(cudaMallocHost(&staging.data, ring.bytes), "cudaMallocHost");
    check(cudaEventCreateWithFlags(&staging.copied, cudaEventDisableTiming), "cudaEventCreate");
  } else {
    check(cudaEventSynchronize(staging.copied), "cudaEventSynchronize");
  }
  return staging;
}

void copy(void* to, const void* from, size_t bytes, CopyDirection direction, int index) {
  Gpu& g = gpu(index);
  if (bytes == 0) return;
  const cudaStream_t queue = stream_of(index);
  if (direction == CopyDirection::kWithin)
    return check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, queue), "copy on the device");
  refuse_in_capture(g, direction == CopyDirection::kFromHost ? "a copy from the host" : "a copy to the host");
  const std::lock_guard lock(g.mutex);
  auto* out = static_cast<std::byte*>(to);
  const auto* in = static_cast<const std::byte*>(from);
  Ring& ring = bytes <= g.small.bytes ? g.small : g.large;
  for (size_t done = 0; done < bytes; done += ring.bytes) {
    const size_t part = std::min(ring.bytes, bytes - done);
    Staging& staging = next_staging(ring);
    if (direction == CopyDirection::kFromHost) {
      std::memcpy(staging.data, in + done, part);
      check(cudaMemcpyAsync(out + done, staging.data, part, cudaMemcpyHostToDevice, queue), "copy to the device");
      check(cudaEventRecord(staging.copied, queue), "cudaEventRecord");
    } else {
      check(cudaMemcpyAsync(staging.data, in + done, part, cudaMemcpyDeviceToHost, queue), "copy from the device");
      check(cudaEventRecord(staging.copied, queue), "cudaEventRecord");
      check(cudaEventSynchronize(staging.copied), "copy from the device");
      std::memcpy(out + done, staging.data, part);
    }
  }
}

void begin(const char* op, int index) {
  make_current(index);
#ifndef TESSERA_CUDA_EMULATED
  nvtxRangePushA(op);
#else
  static_cast<void>(op);
#endif
}

void end() {
#ifndef TESSERA_CUDA_EMULATED
  nvtxRangePop();
#endif
}

// The calls that a thread may not make meanwhile are its own alone: those who load pictures are not disturbed.
void begin_capture(int index) {
  check(cudaStreamBeginCapture(gpu(index).stream, cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
}

void* end_capture(int index) {
  cudaGraph_t graph = nullptr;
  check(cudaStreamEndCapture(gpu(index).stream, &graph), "cudaStreamEndCapture");
  cudaGraphExec_t executable = nullptr;
  const cudaError_t status = cudaGraphInstantiate(&executable, graph, 0);
  cudaGraphDestroy(graph);
  check(status, "cudaGraphInstantiate");
  return executable;
}

void launch_graph(void* graph, int index) {
  count_device_launch();
  check(cudaGraphLaunch(static_cast<cudaGraphExec_t>(graph), gpu(index).stream), "cudaGraphLaunch");
  if (synchronous()) check(cudaStreamSynchronize(stream()), "cudaGraphLaunch");
}

void destroy_graph(void* graph, int index) {
  make_current(index);
  cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(graph));  // unchecked, as cudaFreeAsync is
}

// `later` goes on when all is done that `earlier` has now.
void order(cudaEvent_t event, cudaStream_t earlier, cudaStream_t later) {
  check(cudaEventRecord(event, earlier), "cudaEventRecord");
  check(cudaStreamWaitEvent(later, event, 0), "cudaStreamWaitEvent");
}

// Another queue of the GPU, which goes on from where its first one is now.
void fork(const Gpu& g, cudaStream_t& queue, cudaEvent_t& event) {
  if (!queue) check(cudaStreamCreateWithPriority(&queue, cudaStreamNonBlocking, 0), "cudaStreamCreate");
  if (!event) check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "cudaEventCreate");
  order(event, g.stream, queue);
}

void begin_branch(int index) {
  Gpu& g = gpu(index);
  fork(g, g.beside, g.branch);
  branch_index = index;
}

void join_branch(int index) {
  const Gpu& g = gpu(index);
  order(g.branch, g.beside, g.stream);
}

// Whoever got the memory asked the first queue for it just now.
void upload(void* to, const void* from, size_t bytes, int index) {
  Gpu& g = gpu(index);
  refuse_in_capture(g, "an upload");
  fork(g, g.uploads, g.upload);
  if (bytes > 0) check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, g.uploads), "copy to the device");
}

void join_upload(int index) {
  const Gpu& g = gpu(index);
  order(g.upload, g.uploads, g.stream);
}

void wait_for_upload(int index) {
  check(cudaStreamSynchronize(gpu(index).uploads), "cudaStreamSynchronize");
}

void* allocate_host(size_t bytes, int index) {
  make_current(index);
  void* data = nullptr;
  const cudaError_t status = cudaMallocHost(&data, bytes);
  if (status == cudaSuccess) return data;
  cudaGetLastError();
  if (status != cudaErrorMemoryAllocation) check(status, "cudaMallocHost");
  return nullptr;
}

void deallocate_host(void* block, int index) {
  make_current(index);
  cudaFreeHost(block);  // unchecked, as cudaFreeAsync is
}

constexpr DeviceRuntime kRuntime = {.count = count_gpus,
                                    .allocate = allocate_memory,
                                    .deallocate = deallocate_memory,
                                    .free_bytes = free_bytes,
                                    .copy = copy,
                                    .fill = fill_values,
                                    .convert = convert_values,
                                    .synchronize = synchronize_stream,
                                    .begin = begin,
                                    .end = end,
                                    .begin_capture = begin_capture,
                                    .end_capture = end_capture,
                                    .launch_graph = launch_graph,
                                    .destroy_graph = destroy_graph,
                                    .begin_branch = begin_branch,
                                    .end_branch = [] { branch_index = -1; },
                                    .join_branch = join_branch,
                                    .upload = upload,
                                    .join_upload = join_upload,
                                    .wait_for_upload = wait_for_upload,
                                    .allocate_host = allocate_host,
                                    .deallocate_host = deallocate_host};

[[maybe_unused]] const bool kRegistered = register_device(kDevice, kRuntime);

}  // namespace

void make_current(int index) {
  if (current_index == index) return;
  check(cudaSetDevice(index), "cudaSetDevice");
  current_index = index;
}

cudaStream_t stream() {
  return stream_of(std::max(current_index, 0));
}

void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) [[likely]]
    return;
  cudaGetLastError();
  const char* op = OpScope::current();
  fail("cuda: {}{}{} failed: {}", op ? op : "", op ? ": " : "", what, cudaGetErrorString(status));
}

bool synchronous() {
  static const bool on = [] {
    const char* text = std::getenv("TESSERA_CUDA_SYNC");
    return text && std::strcmp(text, "0") != 0;
  }();
  return on && !capturing(gpu(std::max(current_index, 0)));
}

}  // namespace tessera::cuda
