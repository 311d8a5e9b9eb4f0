#include "bench/peer.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <sstream>

#include "tensor/error.h"

namespace tessera::bench {

namespace {

// Takes `prefix` off the front of the text.
bool take_prefix(std::string& text, const std::string& prefix) {
  if (!text.starts_with(prefix)) return false;
  text.erase(0, prefix.size());
  return true;
}

}  // namespace

std::unique_ptr<Peer> Peer::start(const Options& options, int threads, std::string& why) {
  std::signal(SIGPIPE, SIG_IGN);  // a peer that died shows as an answer that does not come
  std::array<int, 2> there, back;
  TESSERA_CHECK(pipe2(there.data(), O_CLOEXEC) == 0 && pipe2(back.data(), O_CLOEXEC) == 0,
                "bench: no pipe to the peer");
  const std::string count = std::to_string(threads);
  const pid_t process = fork();
  TESSERA_CHECK(process >= 0, "bench: no process for the peer");
  if (process == 0) {
    dup2(there[0], STDIN_FILENO);
    dup2(back[1], STDOUT_FILENO);
    execlp(options.python.c_str(), options.python.c_str(), options.peer_script.c_str(), "--threads", count.c_str(),
           "--device", device().kind == DeviceKind::kCpu ? "cpu" : "cuda", nullptr);
    _exit(127);
  }
  close(there[0]);
  close(back[1]);
  std::unique_ptr<Peer> peer(new Peer);
  peer->process_ = process;
  peer->to_ = fdopen(there[1], "w");
  peer->from_ = fdopen(back[0], "r");
  std::optional<std::string> hello = peer->ask("hello");
  if (hello && take_prefix(*hello, "ok ")) {
    peer->description_ = *hello;
    return peer;
  }
  why = hello ? *hello : options.python + " " + options.peer_script + " does not run";
  return nullptr;
}

Peer::~Peer() {
  std::fclose(to_);  // the end of its input ends it
  std::fclose(from_);
  waitpid(process_, nullptr, 0);
}

std::optional<std::string> Peer::ask(const std::string& line) {
  std::fprintf(to_, "%s\n", line.c_str());
  std::fflush(to_);
  std::string answer;
  for (int c = std::fgetc(from_); c != '\n'; c = std::fgetc(from_)) {
    if (c == EOF) return std::nullopt;
    answer += static_cast<char>(c);
  }
  return answer;
}

bool Peer::make(const Json& request, std::string& why) {
  std::optional<std::string> answer = ask("make " + request.dump());
  if (answer && answer->starts_with("ok")) return true;
  if (answer) take_prefix(*answer, "none ");
  why = answer.value_or("it died");
  return false;
}

std::optional<Sample> Peer::sample(double seconds) {
  const std::optional<std::string> answer = ask("sample " + std::to_string(seconds));
  if (!answer) return std::nullopt;
  std::istringstream words(*answer);
  Sample sample;
  if (!(words >> sample.calls >> sample.wall >> sample.cpu)) return std::nullopt;
  return sample;
}

std::optional<double> Peer::peak_mb() {
  const std::optional<std::string> answer = ask("memory");
  double mb = 0;
  return answer && std::istringstream(*answer) >> mb ? std::optional(mb) : std::nullopt;
}

}  // namespace tessera::bench
