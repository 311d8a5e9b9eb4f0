#include "train/nccl_communicator.h"

#include <nccl.h>

#include <atomic>
#include <cstring>
#include <optional>
#include <utility>

#include "tensor/cuda/runtime.h"
#include "tensor/device_runtime.h"
#include "tensor/error.h"

namespace tessera {

namespace {

void check(ncclResult_t result, const char* call) {
  if (result != ncclSuccess) fail("NCCL: {} failed: {}", call, ncclGetErrorString(result));
}

bool on_gpu(const Tensor& tensor) {
  return tensor.device().kind == DeviceKind::kCuda;
}

ncclDataType_t type_of(const Tensor& tensor) {
  return tensor.dtype() == DType::kF32 ? ncclFloat32 : ncclFloat64;
}

// Of those sums that travel beside the computation and of the other calls, whose order among each other may differ.
struct Connection {
  std::atomic<ncclComm_t> sums = nullptr, calls = nullptr;
};

class NcclCommunicator : public Communicator {
 public:
  NcclCommunicator(std::shared_ptr<Communicator> host, const std::function<void(std::function<void()>)>& give_up)
      : Communicator(host->rank(), host->size(), host->local_rank()), host_(std::move(host)) {
    // A kernel of NCCL waits on the GPU, and the host for it, until the others come or the sum is given up.
    give_up([connection = connection_] {
      for (std::atomic<ncclComm_t>* comm : {&connection->sums, &connection->calls})
        if (const ncclComm_t taken = comm->exchange(nullptr)) ncclCommAbort(taken);
    });
  }
  ~NcclCommunicator() override {
    for (std::atomic<ncclComm_t>* comm : {&connection_->sums, &connection_->calls})
      if (const ncclComm_t taken = comm->exchange(nullptr)) ncclCommDestroy(taken);
  }

  std::string name(i64 rank) const override { return host_->name(rank); }
  std::vector<std::string> gather(std::string_view mine) override { return host_->gather(mine); }
  void leave(const std::string& reason) noexcept override { host_->leave(reason); }
  double waited() const override { return host_->waited(); }

  void begin_sum(const Tensor& tensor) override {
    if (!on_gpu(tensor)) return host_->begin_sum(tensor);
    connect(tensor.device());
    const DeviceRuntime& runtime = device_runtime(tensor.device().kind);
    runtime.begin_branch(tensor.device().index);
    try {
      all_reduce(tensor, connection_->sums);
    } catch (...) {
      runtime.end_branch();
      throw;
    }
    runtime.end_branch();
    under_way_ = tensor.device();
  }
  void wait() override {
    host_->wait();
    if (const auto device = std::exchange(under_way_, std::nullopt))
      device_runtime(device->kind).join_branch(device->index);
  }
  void sum(const Tensor& tensor) override {
    if (!on_gpu(tensor)) return host_->sum(tensor);
    connect(tensor.device());
    all_reduce(tensor, connection_->calls);
  }

  void broadcast(std::span<const Tensor> tensors, i64 from) override {
    for (const Tensor& tensor : tensors) {
      if (!on_gpu(tensor)) {
        host_->broadcast({&tensor, 1}, from);
        continue;
      }
      connect(tensor.device());
      const DeviceScope scope("broadcast", tensor.device());
      check(ncclBroadcast(tensor.raw(), const_cast<void*>(tensor.raw()), tensor.bytes(), ncclUint8,
                          static_cast<int>(from), connection_->calls, cuda::stream()),
            "ncclBroadcast");
    }
  }

 private:
  // At the first tensor, which tells the GPU; on all ranks at once.
  void connect(Device device) {
    if (connection_->sums) return;
    TESSERA_CHECK(!connected_, "NCCL: the sums were given up, since another rank can't go on");
    connected_ = true;
    const DeviceScope scope("connect", device);
    for (std::atomic<ncclComm_t>* comm : {&connection_->sums, &connection_->calls}) {
      ncclUniqueId id{};
      if (first()) check(ncclGetUniqueId(&id), "ncclGetUniqueId");
      const std::string of_first = host_->gather(std::string_view(id.internal, sizeof id.internal)).front();
      std::memcpy(id.internal, of_first.data(), sizeof id.internal);
      ncclComm_t made = nullptr;
      check(ncclCommInitRank(&made, static_cast<int>(size()), id, static_cast<int>(rank())), "ncclCommInitRank");
      *comm = made;
    }
  }

  static void all_reduce(const Tensor& tensor, ncclComm_t comm) {
    check_sum(tensor);
    const DeviceScope scope("sum", tensor.device());
    check(ncclAllReduce(tensor.raw(), const_cast<void*>(tensor.raw()), static_cast<size_t>(tensor.numel()),
                        type_of(tensor), ncclSum, comm, cuda::stream()),
          "ncclAllReduce");
  }

  std::shared_ptr<Communicator> host_;
  std::shared_ptr<Connection> connection_ = std::make_shared<Connection>();
  bool connected_ = false;
  std::optional<Device> under_way_;
};

}  // namespace

std::shared_ptr<Communicator> with_nccl(std::shared_ptr<Communicator> host,
                                        const std::function<void(std::function<void()>)>& give_up) {
  return std::make_shared<NcclCommunicator>(std::move(host), give_up);
}

std::string nccl_version() {
  int version = 0;
  ncclGetVersion(&version);
  return fmt::format("NCCL {}.{}.{}", version / 10000, version / 100 % 100, version % 100);
}

}  // namespace tessera
