// The commands of the program `tessera`. Each add_ function defines one with its options and its callback, which throws
// Error for what a user can mend and CLI::RuntimeError(code) to end with another exit code.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace tessera {

void add_data(CLI::App& app);
void add_data_check(CLI::App& data);  // below data, as are the next
void add_data_convert(CLI::App& data);
void add_data_split(CLI::App& data);
void add_data_show(CLI::App& data);
void add_data_stats(CLI::App& data);
void add_train(CLI::App& app);
void add_eval(CLI::App& app);
void add_predict(CLI::App& app);
void add_convert(CLI::App& app);
void add_export(CLI::App& app);
void add_score(CLI::App& app);
void add_info(CLI::App& app);
void add_report(CLI::App& app);
void add_bench(CLI::App& app);
void add_table(CLI::App& app);
void add_maps(CLI::App& app);
void add_help(CLI::App& app);  // after the others

std::string version_text();  // version, build and devices: what --version prints

}  // namespace tessera
