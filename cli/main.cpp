// tessera: trains, evaluates and uses instance-segmentation networks.
//
// Exit codes: 0 done, 1 an error, 2 a wrong command line, 128 + signal a training run that was stopped and saved.
// Errors are one line on stderr: `tessera: <message>`.
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <string>

#include "cli/commands.h"
#include "cli/help.h"

namespace {

int complain(std::string message, int code) {
  std::replace(message.begin(), message.end(), '\n', ' ');
  std::fprintf(stderr, "tessera: %s\n", message.c_str());
  return code;
}

// OpenMP's waiting threads spin for long by default, and on a machine that is busy (with our own loader, say) they take
// the processor from the thread they wait for: a step becomes ten times slower. The library reads its environment
// before main, so the program starts itself once more with a setting that lets them sleep after about 0.2 ms.
void let_waiting_threads_sleep(char** argv) {
  if (std::getenv("OMP_WAIT_POLICY") || std::getenv("GOMP_SPINCOUNT")) return;
  setenv("GOMP_SPINCOUNT", "10000", 1);
  execv("/proc/self/exe", argv);  // where that cannot be, go on as we are
}

}  // namespace

int main(int argc, char** argv) {
  let_waiting_threads_sleep(argv);
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
  } catch (const std::exception& error) {
    return complain(error.what(), 1);
  }
  return 0;
}
