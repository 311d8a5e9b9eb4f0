// tessera: trains, evaluates and uses instance-segmentation networks.
//
// Exit codes: 0 done, 1 an error, 2 a wrong command line, 128 + number: ended by a signal. Errors are one line on
// stderr, `tessera: <message>`. SIGINT (Ctrl-C), SIGTERM and SIGHUP say so in such a line, training after it has saved,
// and the shell sees 130, 143, 129. Where the reader of a pipe leaves (tessera info --ops | head -1) that is SIGPIPE,
// as for other tools: no line, 141. What was printed must have arrived: a full disk behind standard output is an error
// too. However the program ends, every file that it writes is the old or the new one (tensor/file.h).
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>

#include "cli/commands.h"
#include "cli/help.h"
#include "tensor/threads.h"
#include "train/signals.h"

namespace {

const std::string kNotPrinted = "standard output: cannot be written";

int complain(std::string message, int code) {
  std::replace(message.begin(), message.end(), '\n', ' ');
  std::fprintf(stderr, "tessera: %s\n", message.c_str());
  return code;
}

// A standard stream that is closed would lend its number to the first file that is opened, and what is printed would
// land in that file. Such a number is taken here, by something that refuses to be used.
void occupy_standard_streams() {
  for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    if (fcntl(stream, F_GETFD) < 0) (void)!open("/dev/null", stream == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}

int run(int argc, char** argv) {
  CLI::App app("Trains, evaluates and uses instance-segmentation networks.", "tessera");
  app.formatter(std::make_shared<tessera::HelpFormatter>());  // of the commands, too
  app.set_version_flag("--version", tessera::version_text, "Print version, build and devices, and exit");
  app.require_subcommand(1);
  tessera::add_data(app);
  tessera::add_train(app);
  tessera::add_eval(app);
  tessera::add_predict(app);
  tessera::add_convert(app);
  tessera::add_export(app);
  tessera::add_score(app);
  tessera::add_info(app);
  tessera::add_report(app);
  tessera::add_bench(app);
  tessera::add_table(app);
  tessera::add_maps(app);
  tessera::add_help(app);
  try {
    if (argc == 1) throw CLI::CallForHelp();
    app.parse(argc, argv);
  } catch (const CLI::RuntimeError& end) {
    return end.get_exit_code();
  } catch (const CLI::Success& help) {
    return app.exit(help);
  } catch (const CLI::ParseError& error) {
    return complain(tessera::usage_error(app, error) + " (see tessera --help)", 2);
  } catch (const std::filesystem::filesystem_error& error) {
    return complain(error.path1().string() + ": " + error.code().message(), 1);
  } catch (const std::system_error& error) {
    return complain(std::ferror(stdout) ? kNotPrinted + ": " + error.code().message() : error.what(), 1);
  } catch (const std::bad_alloc&) {
    return complain("the memory does not suffice", 1);
  } catch (const std::exception& error) {
    return complain(error.what(), 1);
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  // Beside the network of predict other threads of it read, draw and encode.
  const bool shared = argc > 1 && std::strcmp(argv[1], "predict") == 0;
  tessera::let_waiting_threads_sleep(argv, shared ? 1'000 : 10'000);
  occupy_standard_streams();
  tessera::end_cleanly_on_signals();
  const int code = run(argc, argv);
  errno = 0;  // stays so where an earlier line was lost: then the reason is lost too
  if (code != 0 || (std::fflush(stdout) == 0 && !std::ferror(stdout))) return code;
  return complain(kNotPrinted + (errno != 0 ? std::string(": ") + std::strerror(errno) : ""), 1);
}
