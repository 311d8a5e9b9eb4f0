#include "train/checkpoint.h"

#include <doctest/doctest.h>

#include "tensor/file.h"
#include "tests/support/check_error.h"
#include "tests/support/full_disk.h"
#include "tests/support/temporary_folder.h"
#include "tests/train/toy.h"

using namespace tessera;

namespace {

const CheckpointInfo kInfo{.step = 12,
                           .loader_position = 24,
                           .seed = 18446744073709551615u,
                           .evaluated = 10,
                           .best = 1.0 / 3,
                           .no_better = 2,
                           .device = "cuda:1",
                           .config = "[training]\nsteps = 3\n",
                           .classes = {"a \"quoted\" cat", "dog"},
                           .category_ids = {3, 7}};

bool equal(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && std::equal(a.span<float>().begin(), a.span<float>().end(), b.span<float>().begin());
}

}  // namespace

TEST_CASE("checkpoint: what is saved comes back, information and tensors") {
  const test::TemporaryFolder folder;
  test::Toy toy;
  Optimizer optimizer({}, toy);
  Ema ema(toy, 0.9);
  toy.weight.grad() = Tensor::full({3}, 0.5);
  optimizer.step(1);
  ema.update(1);
  toy.counter.fill(42);
  save_checkpoint(folder / "a.safetensors", kInfo, toy, &optimizer, &ema);

  const Checkpoint checkpoint = Checkpoint::open(folder / "a.safetensors");
  const CheckpointInfo& info = checkpoint.info();
  CHECK(info.step == 12);
  CHECK(info.loader_position == 24);
  CHECK(info.seed == kInfo.seed);
  CHECK(info.evaluated == 10);
  CHECK(info.best == kInfo.best);
  CHECK(info.no_better == 2);
  CHECK(info.device == "cuda:1");
  CHECK(info.config == kInfo.config);
  CHECK(info.classes == kInfo.classes);
  CHECK(info.category_ids == kInfo.category_ids);

  test::Toy other;
  Optimizer other_optimizer({}, other);
  Ema other_ema(other, 0.9);
  checkpoint.restore(other, other_optimizer, &other_ema);
  CHECK(equal(other.weight.value(), toy.weight.value()));
  CHECK(other.counter.item() == 42);
  // One more step of both goes the same way: moments and counts came back too.
  for (auto [one, its] : {std::pair{&toy, &optimizer}, {&other, &other_optimizer}}) {
    one->weight.grad() = Tensor::full({3}, -0.25);
    its->step(1);
  }
  CHECK(equal(other.weight.value(), toy.weight.value()));
  ema.swap();
  other_ema.swap();
  CHECK(equal(other.weight.value(), toy.weight.value()));
  // For using the model the averages are what counts.
  test::Toy user;
  checkpoint.restore_weights(user);
  CHECK(equal(user.weight.value(), toy.weight.value()));
}

TEST_CASE("checkpoint: missing, unexpected and mis-shaped tensors are listed at once, and nothing is written") {
  const test::TemporaryFolder folder;
  test::Toy toy;
  Optimizer optimizer({}, toy);
  toy.bias = Var(Tensor::zeros({4}), true);
  save_checkpoint(folder / "a.safetensors", kInfo, toy, nullptr, nullptr);
  SafeTensors file = SafeTensors::open(folder / "a.safetensors");
  std::vector<NamedTensor> tensors = file.tensors();
  std::erase_if(tensors, [](const NamedTensor& entry) { return entry.name == "model.norm"; });
  tensors.push_back({"model.extra", Tensor::zeros({1})});
  save_safetensors(folder / "b.safetensors", tensors, file.metadata());

  test::Toy target;
  target.weight.value().fill(1);
  const Checkpoint checkpoint = Checkpoint::open(folder / "b.safetensors");
  for (const char* part : {"missing (1): model.norm", "unexpected (1): model.extra",
                           "mis-shaped (1): model.bias: file f32 [4], model f32 [3]"})
    CHECK_ERROR(checkpoint.restore_weights(target), part);
  CHECK(target.weight.value().span<float>()[0] == 1);
}

TEST_CASE("checkpoint: a full disk is an error and leaves the previous file whole") {
  const test::TemporaryFolder folder;
  test::Toy toy;
  Optimizer optimizer({}, toy);
  const std::filesystem::path path = folder / "a.safetensors";
  save_checkpoint(path, kInfo, toy, &optimizer, nullptr);
  const std::string before = read_file(path);
  toy.weight.value().fill(9);
  {
    const test::FullDisk full(100);
    CHECK_ERROR(save_checkpoint(path, kInfo, toy, &optimizer, nullptr), "a.safetensors: cannot be written");
  }
  CHECK(read_file(path) == before);
  CHECK(std::distance(std::filesystem::directory_iterator(folder.path()), {}) == 1);
}

TEST_CASE("checkpoint: another file or damaged metadata is an error") {
  const test::TemporaryFolder folder;
  const auto opened = [&](std::map<std::string, std::string> metadata) {
    save_safetensors(folder / "x.safetensors", {{"w", Tensor::zeros({1})}}, metadata);
    Checkpoint::open(folder / "x.safetensors");
  };
  CHECK_ERROR(opened({}), "x.safetensors: is no checkpoint of tessera: metadata tessera is missing");
  CHECK_ERROR(opened({{"tessera", "99"}}), "checkpoint of version 99");
  CHECK_ERROR(opened({{"tessera", "1"}, {"step", "many"}}), "damaged metadata: step is \"many\"");
  CHECK_ERROR(Checkpoint::open(folder / "absent.safetensors"), "absent.safetensors: cannot be opened");
}

TEST_CASE("checkpoint: the last ones are kept, the best is found first") {
  const test::TemporaryFolder folder;
  CHECK_ERROR(find_checkpoint(folder.path()), "holds no checkpoint");
  CHECK(!last_checkpoint(folder.path()));
  const auto save = [&](const std::filesystem::path& path) {
    test::Toy toy;
    save_checkpoint(path, kInfo, toy, nullptr, nullptr);
  };
  for (const i64 step : {5, 20, 100, 1'000'000'000}) save(checkpoint_path(folder.path(), step));
  write_file(folder / "checkpoint-00000100.safetensors.partial", "");
  write_file(folder / "checkpoint-x.safetensors", "");
  CHECK(list_checkpoints(folder.path()).size() == 4);
  prune_checkpoints(folder.path(), 2);
  CHECK(list_checkpoints(folder.path()) ==
        std::vector{checkpoint_path(folder.path(), 100), checkpoint_path(folder.path(), 1'000'000'000)});
  CHECK(!std::filesystem::exists(folder / "checkpoint-00000100.safetensors.partial"));
  CHECK(find_checkpoint(folder.path()) == checkpoint_path(folder.path(), 1'000'000'000));
  save(best_path(folder.path()));
  CHECK(find_checkpoint(folder.path()) == best_path(folder.path()));
  CHECK(find_checkpoint(folder / "some.safetensors") == folder / "some.safetensors");
}

TEST_CASE("checkpoint: one that is empty or cut is passed over, with the reason") {
  const test::TemporaryFolder folder;
  const auto at = [&](i64 step) { return checkpoint_path(folder.path(), step); };
  test::Toy toy;
  for (const i64 step : {10, 20, 30}) save_checkpoint(at(step), kInfo, toy, nullptr, nullptr);
  const std::string whole = read_file(at(10));
  std::string why;
  const auto last = [&] {
    why.clear();
    return last_checkpoint(folder.path(), [&](const std::string& reason) { why += reason; })->path();
  };
  CHECK(last() == at(30));
  CHECK(why.empty());
  write_file(at(30), "");
  write_file(at(20), whole.substr(0, whole.size() - 1));
  CHECK(last() == at(10));
  INFO(why);
  for (const char* part : {"checkpoint-00000030.safetensors: ", "checkpoint-00000020.safetensors: ", "truncated",
                           "; checkpoint-00000010.safetensors is taken instead"})
    CHECK(why.find(part) != std::string::npos);
  CHECK(find_checkpoint(folder.path()) == at(10));

  write_file(best_path(folder.path()), whole);
  CHECK(last() == at(10));  // a run goes on from its last step
  CHECK(find_checkpoint(folder.path()) == best_path(folder.path()));
  write_file(at(10), whole.substr(0, 40));
  CHECK(last() == best_path(folder.path()));
  write_file(best_path(folder.path()), "");
  CHECK_ERROR(last(), "no checkpoint can be read: ");
  CHECK_ERROR(find_checkpoint(folder.path()), "no checkpoint can be read: ");
}

TEST_CASE("checkpoint: those of later steps are set aside, and none is lost") {
  const test::TemporaryFolder folder;
  for (const i64 step : {10, 20, 30}) write_file(checkpoint_path(folder.path(), step), "content");
  set_aside_checkpoints(folder.path(), 10);
  CHECK(list_checkpoints(folder.path()) == std::vector{checkpoint_path(folder.path(), 10)});
  CHECK(read_file(folder / "checkpoint-00000030.safetensors.aside") == "content");
}
