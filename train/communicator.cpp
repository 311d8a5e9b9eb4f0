#include "train/communicator.h"

#include <dlfcn.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "tensor/error.h"
#include "train/mpi_module.h"

namespace tessera {

namespace {

class SingleProcess : public Communicator {
 public:
  SingleProcess() : Communicator(0, 1, 0) {}
  std::string name(i64) const override { return "the one process"; }
  std::vector<std::string> gather(std::string_view mine) override { return {std::string(mine)}; }
  void begin_sum(const Tensor&) override {}
  void wait() override {}
  void sum(const Tensor&) override {}
  void broadcast(std::span<const Tensor>, i64) override {}
  void leave(const std::string&) noexcept override {}
  double waited() const override { return 0; }
};

// Did a launcher start this process, with others?
bool launched_with_others() {
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMIX_SIZE"})
    if (const char* size = std::getenv(name)) return std::atoi(size) > 1;
  const char* tasks = std::getenv("SLURM_STEP_NUM_TASKS");  // srun with PMIx says no more
  return std::getenv("PMIX_RANK") && tasks && std::atoi(tasks) > 1;
}

struct LoadedModule {
  const MpiModule* module = nullptr;
  std::string reason;  // where there is none
};

// Programs that run alone do not wait for MPI to be loaded.
LoadedModule load_module() {
#ifdef TESSERA_MPI
  Dl_info own{};
  dladdr(reinterpret_cast<const void*>(&mpi_support), &own);
  const std::filesystem::path file = std::filesystem::path(own.dli_fname).parent_path() / "libtessera_mpi.so";
  void* library = dlopen(file.c_str(), RTLD_NOW | RTLD_GLOBAL);  // MPI's own plug-ins look for its symbols
  if (!library) return {nullptr, fmt::format("the module cannot be loaded: {}", dlerror())};
  const auto* module = static_cast<const MpiModule*>(dlsym(library, "tessera_mpi_module"));
  if (!module) return {nullptr, fmt::format("{}: is no module of this library", file.string())};
  return {module, ""};
#else
  return {
      nullptr,
      "this build has none (TESSERA_MPI): install Open MPI (Debian: apt-get install libopenmpi-dev openmpi-bin) and "
      "build again"};
#endif
}

const LoadedModule& loaded() {
  static const LoadedModule module = load_module();
  return module;
}

}  // namespace

std::vector<std::vector<double>> Communicator::gather(std::span<const double> mine) {
  std::vector<std::vector<double>> result;
  for (const std::string& bytes :
       gather(std::string_view(reinterpret_cast<const char*>(mine.data()), mine.size_bytes()))) {
    TESSERA_CHECK(bytes.size() == mine.size_bytes(), "communicator: {} has {} numbers where {} has {}",
                  name(std::ssize(result)), bytes.size() / sizeof(double), name(rank_), mine.size());
    std::vector<double>& numbers = result.emplace_back(mine.size());
    if (!numbers.empty()) std::memcpy(numbers.data(), bytes.data(), bytes.size());
  }
  return result;
}

void Communicator::check_sum(const Tensor& tensor) {
  TESSERA_CHECK(tensor.dtype() == DType::kF32 || tensor.dtype() == DType::kF64,
                "communicator: sums are of f32 or f64, not {}", name_of(tensor.dtype()));
}

Communicator& single_process() {
  static SingleProcess process;
  return process;
}

std::shared_ptr<Communicator> connect_processes() {
  if (!launched_with_others()) return std::make_shared<SingleProcess>();
  TESSERA_CHECK(loaded().module, "a launcher started several processes, which MPI is to connect: {}", loaded().reason);
  return loaded().module->connect();
}

std::string mpi_support() {
  return loaded().module ? loaded().module->version() : loaded().reason;
}

bool has_mpi() {
  return loaded().module != nullptr;
}

}  // namespace tessera
