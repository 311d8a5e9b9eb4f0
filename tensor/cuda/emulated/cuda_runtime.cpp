// The runtime calls of the emulated device: everything happens at once, in the caller's thread; or, while a stream is
// captured, when its graph is launched; or, on a late stream, when it is waited for.
#include "tensor/cuda/emulated/cuda_runtime.h"

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "tensor/cuda/emulated/inject.h"

struct EmulatedGraph {
  std::vector<std::function<void()>> work;
};
struct EmulatedStream {
  std::unique_ptr<EmulatedGraph> captured;  // null: it is not captured
  bool late = false;
  std::vector<std::function<void()>> waiting;  // of a late one
};
struct EmulatedEvent {
  cudaStream_t stream = nullptr;  // that it was recorded on last
};

namespace tessera::emulated {

Machine& machine() {
  static Machine instance;
  return instance;
}

void enqueue(cudaStream_t stream, const std::function<void()>& work) {
  if (stream->captured) return stream->captured->work.push_back(work);
  if (stream->late) return stream->waiting.push_back(work);
  work();
}

}  // namespace tessera::emulated

namespace {

using tessera::emulated::machine;

struct Blocks {
  std::mutex mutex;
  std::map<void*, size_t> sizes;
  size_t used = 0;    // by blocks, and by
  size_t pooled = 0;  // what was freed: the pool keeps it, in pieces that no request fits, until it is trimmed
};

Blocks& blocks() {
  static Blocks* instance = new Blocks;
  return *instance;
}

constinit thread_local cudaError_t last_error = cudaSuccess;

cudaError_t result(cudaError_t status) {
  if (status != cudaSuccess) last_error = status;
  return status;
}

void wait_for(cudaStream_t stream) {
  for (const auto& work : std::exchange(stream->waiting, {})) work();
}

}  // namespace

const char* cudaGetErrorString(cudaError_t status) {
  switch (status) {
    case cudaSuccess:
      return "no error";
    case cudaErrorInvalidValue:
      return "invalid argument";
    case cudaErrorMemoryAllocation:
      return "out of memory";
    case cudaErrorInsufficientDriver:
      return "CUDA driver version is insufficient for CUDA runtime version";
    case cudaErrorNoDevice:
      return "no CUDA-capable device is detected";
    case cudaErrorInvalidDevice:
      return "invalid device ordinal";
    case cudaErrorIllegalState:
      return "the operation cannot be performed in the present state";
  }
  return "unknown error";
}

cudaError_t cudaGetLastError() {
  const cudaError_t status = last_error;
  last_error = cudaSuccess;
  return status;
}

cudaError_t cudaGetDeviceCount(int* count) {
  *count = machine().count_status == cudaSuccess ? machine().devices : 0;
  return result(machine().count_status);
}

cudaError_t cudaSetDevice(int device) {
  if (device < 0 || device >= machine().devices) return result(cudaErrorInvalidDevice);
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = new EmulatedStream;
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned, int) {
  *stream = new EmulatedStream{.captured = nullptr, .late = true, .waiting = {}};
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  wait_for(stream);
  return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t event, unsigned) {
  return cudaEventSynchronize(event);
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  if (stream->captured) return result(cudaErrorIllegalState);
  stream->captured = std::make_unique<EmulatedGraph>();
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  if (!stream->captured) return result(cudaErrorIllegalState);
  *graph = stream->captured.release();
  return cudaSuccess;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  *status = stream->captured ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long) {
  *executable = new EmulatedGraph(*graph);
  return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  for (const auto& work : executable->work) tessera::emulated::enqueue(stream, work);
  return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  delete executable;
  return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = new EmulatedEvent;
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  event->stream = stream;
  return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  if (event->stream) wait_for(event->stream);
  return cudaSuccess;
}

cudaError_t cudaMallocAsync(void** data, size_t bytes, cudaStream_t) {
  Blocks& b = blocks();
  const std::lock_guard lock(b.mutex);
  *data = bytes <= machine().memory - std::min(machine().memory, b.used)
              ? std::aligned_alloc(256, (bytes + 255) / 256 * 256)
              : nullptr;
  if (!*data) return result(cudaErrorMemoryAllocation);
  std::memset(*data, 0xFF, bytes);  // NaN until it is written
  b.sizes[*data] = bytes;
  b.used += bytes;
  return cudaSuccess;
}

cudaError_t cudaFreeAsync(void* data, cudaStream_t) {
  Blocks& b = blocks();
  const std::lock_guard lock(b.mutex);
  const auto block = b.sizes.find(data);
  if (block == b.sizes.end()) return result(cudaErrorInvalidValue);
  b.pooled += block->second;
  b.sizes.erase(block);
  std::free(data);
  return cudaSuccess;
}

cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t* pool, int) {
  *pool = nullptr;
  return cudaSuccess;
}

cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t, cudaMemPoolAttr, void*) {
  return cudaSuccess;
}

cudaError_t cudaMemPoolTrimTo(cudaMemPool_t, size_t) {
  Blocks& b = blocks();
  const std::lock_guard lock(b.mutex);
  b.used -= b.pooled;
  b.pooled = 0;
  return cudaSuccess;
}

cudaError_t cudaMallocHost(void** data, size_t bytes) {
  *data = std::malloc(bytes);
  return *data ? cudaSuccess : result(cudaErrorMemoryAllocation);
}

cudaError_t cudaFreeHost(void* data) {
  std::free(data);
  return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  Blocks& b = blocks();
  const std::lock_guard lock(b.mutex);
  const bool limited = machine().memory < tessera::emulated::kUnlimited;
  *total = limited ? machine().memory : SIZE_MAX;
  *free = limited ? machine().memory - std::min(machine().memory, b.used) : SIZE_MAX;
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind, cudaStream_t stream) {
  tessera::emulated::enqueue(stream, [=] { std::memmove(to, from, bytes); });
  return cudaSuccess;
}
