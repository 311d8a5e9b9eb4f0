// The processes of a run connected by MPI. Tensors of a device travel through the host's memory.
#include <mpi.h>

#include <chrono>
#include <cstring>
#include <limits>
#include <utility>

#include "tensor/error.h"
#include "train/mpi_module.h"
#include "train/mpi_service.h"
#ifdef TESSERA_NCCL
#include "train/nccl_communicator.h"
#endif

namespace tessera {

namespace {

// What is gathered goes round in messages of this many bytes; a longer one's rest follows in pieces.
constexpr size_t kShort = 256, kRoom = kShort - sizeof(u64);

MPI_Datatype type_of(const Tensor& tensor) {
  return tensor.dtype() == DType::kF32 ? MPI_FLOAT : MPI_DOUBLE;
}

int count_of(i64 count) {
  TESSERA_CHECK(count <= std::numeric_limits<int>::max(), "communicator: a tensor of {} numbers is too large", count);
  return static_cast<int>(count);
}

class MpiCommunicator : public Communicator {
 public:
  explicit MpiCommunicator(std::shared_ptr<MpiService> service)
      : Communicator(service->rank(), service->size(), service->local_rank()), service_(std::move(service)) {}

  std::string name(i64 rank) const override { return service_->name(static_cast<int>(rank)); }

  std::vector<std::string> gather(std::string_view mine) override {
    // The length and the beginning of every rank's first.
    struct Heads {
      std::string own, all;
    };
    const auto heads = std::make_shared<Heads>(Heads{std::string(kShort, '\0'), std::string(kShort * count(), '\0')});
    const u64 length = mine.size();
    std::memcpy(heads->own.data(), &length, sizeof length);
    mine.copy(heads->own.data() + sizeof length, kRoom);
    wait_for(service_->begin([heads](MPI_Comm comm, MPI_Request* request) {
      return MPI_Iallgather(heads->own.data(), kShort, MPI_CHAR, heads->all.data(), kShort, MPI_CHAR, comm, request);
    }));
    std::vector<u64> lengths(count());
    std::vector<std::string> all(count());
    for (size_t r = 0; r < count(); ++r) {
      std::memcpy(&lengths[r], heads->all.data() + r * kShort, sizeof length);
      all[r].assign(heads->all, r * kShort + sizeof length, std::min<u64>(lengths[r], kRoom));
    }
    gather_rest(mine, lengths, all);
    return all;
  }

  void begin_sum(const Tensor& tensor) override { sums_.push_back(begin(tensor, MpiService::kSums)); }

  void wait() override {
    for (const Sum& sum : std::exchange(sums_, {})) finish(sum);
  }

  void sum(const Tensor& tensor) override { finish(begin(tensor, MpiService::kCalls)); }

  void broadcast(std::span<const Tensor> tensors, i64 from) override {
    std::vector<Sum> under_way;
    for (const Tensor& tensor : tensors) {
      const Tensor host = tensor.to_host();
      under_way.push_back({tensor, host,
                           service_->begin([host, from, n = count_of(static_cast<i64>(host.bytes()))](
                                               MPI_Comm comm, MPI_Request* request) {
                             return MPI_Ibcast(const_cast<void*>(host.raw()), n, MPI_BYTE, static_cast<int>(from), comm,
                                               request);
                           })});
    }
    for (const Sum& sum : under_way) finish(sum);
  }

  void leave(const std::string& reason) noexcept override { service_->leave(reason); }
  double waited() const override { return waited_; }

 private:
  struct Sum {  // under way
    Tensor tensor, host;
    MpiService::Ticket ticket;
  };

  Sum begin(const Tensor& tensor, MpiService::Lane lane) {
    check_sum(tensor);
    const Tensor host = tensor.to_host();
    const auto add = [host, type = type_of(tensor), n = count_of(tensor.numel())](MPI_Comm comm, MPI_Request* request) {
      return MPI_Iallreduce(MPI_IN_PLACE, const_cast<void*>(host.raw()), n, type, MPI_SUM, comm, request);
    };
    return {tensor, host, service_->begin(add, lane)};
  }

  void finish(const Sum& sum) {
    wait_for(sum.ticket);
    Tensor tensor = sum.tensor;
    if (!tensor.same_memory(sum.host)) tensor.copy_from(sum.host.to(tensor.device()));
  }

  void wait_for(const MpiService::Ticket& ticket) {
    const auto start = std::chrono::steady_clock::now();
    service_->wait(ticket);
    waited_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }

  size_t count() const { return static_cast<size_t>(size()); }

  // What of every rank's bytes is not in `all` yet, in rounds that keep MPI's offsets, which are ints.
  void gather_rest(std::string_view mine, const std::vector<u64>& lengths, std::vector<std::string>& all) {
    struct Round {
      std::string own, received;
      std::vector<int> parts, offsets;
    };
    const u64 most = (u64{1} << 30) / count();
    const size_t own = static_cast<size_t>(rank());
    while (true) {
      const auto round = std::make_shared<Round>();
      int total = 0;
      for (size_t r = 0; r < count(); ++r) {
        round->parts.push_back(static_cast<int>(std::min(most, lengths[r] - all[r].size())));
        round->offsets.push_back(total);
        total += round->parts.back();
      }
      if (total == 0) return;
      round->own = mine.substr(all[own].size(), most);
      round->received.resize(static_cast<size_t>(total));
      wait_for(service_->begin([round](MPI_Comm comm, MPI_Request* request) {
        return MPI_Iallgatherv(round->own.data(), static_cast<int>(round->own.size()), MPI_CHAR, round->received.data(),
                               round->parts.data(), round->offsets.data(), MPI_CHAR, comm, request);
      }));
      for (size_t r = 0; r < count(); ++r)
        all[r].append(round->received, static_cast<size_t>(round->offsets[r]), static_cast<size_t>(round->parts[r]));
    }
  }

  std::shared_ptr<MpiService> service_;
  std::vector<Sum> sums_;
  double waited_ = 0;
};

std::shared_ptr<Communicator> connect() {
  const auto service = std::make_shared<MpiService>();
  std::shared_ptr<Communicator> communicator = std::make_shared<MpiCommunicator>(service);
#ifdef TESSERA_NCCL
  communicator = with_nccl(communicator, [&](std::function<void()> call) { service->on_failure(std::move(call)); });
#endif
  return communicator;
}

std::string version() {
  char text[MPI_MAX_LIBRARY_VERSION_STRING] = "";
  int length = 0;
  MPI_Get_library_version(text, &length);
  const std::string all(text, static_cast<size_t>(length));
  std::string text_of_both = all.substr(0, all.find_first_of(",\n"));
#ifdef TESSERA_NCCL
  text_of_both += ", " + nccl_version();
#endif
  return text_of_both;
}

}  // namespace

}  // namespace tessera

extern "C" const tessera::MpiModule tessera_mpi_module{tessera::connect, tessera::version};
