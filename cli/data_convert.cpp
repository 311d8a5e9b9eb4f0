// tessera data convert: a data set from one tool's format into another's.
#include <fmt/core.h>

#include <memory>

#include "cli/commands.h"
#include "data/formats/formats.h"
#include "train/progress.h"

namespace tessera {

namespace {

namespace fs = std::filesystem;

struct DataConvertCommand {
  std::string from, to;
  AnnotatedFiles files;
  fs::path out;

  void run() const {
    std::error_code ignored;
    for (const fs::path& input : {files.annotations, files.images})
      TESSERA_CHECK(!fs::equivalent(input, out, ignored),
                    "data convert: {} is read by this call, and cannot be written to; name another folder with --out",
                    out.string());
    const AnnotationFormat &source = find_format(from), &target = find_format(to);
    AnnotatedPictures set;
    {
      Progress progress("read");
      set = source.read(files, progress.counted());
    }
    LeftOut left_out;
    {
      Progress progress("write");
      left_out = target.write(set, out, files.split, progress.counted());
    }
    fmt::print("{}: {} pictures, {} objects, {} classes, from {}\n", out.string(), set.dataset.images.size(),
               set.dataset.annotations.size(), set.dataset.categories.size(), set.dataset.name);
    print("not read", set.left_out);
    print("not written", left_out);
  }

 private:
  void print(const char* what, const LeftOut& left_out) const {
    for (const auto& [reason, tally] : left_out)
      fmt::print("  {}: {} {} ({})\n", what, tally.count, reason, tally.names());
  }
};

}  // namespace

void add_data_convert(CLI::App& data) {
  CLI::App* convert = data.add_subcommand("convert", "Writes a data set in the format of another tool (docs/data.md)");
  const auto command = std::make_shared<DataConvertCommand>();
  std::vector<std::string> names;
  std::string footer = "Formats, and what --annotations names:\n";
  for (const AnnotationFormat& format : annotation_formats()) {
    names.emplace_back(format.name);
    footer += fmt::format("  {:<12}{}\n", format.name, format.words);
  }
  convert->footer(footer);
  convert->add_option("--from", command->from, "format that is read")->required()->check(CLI::IsMember(names));
  convert->add_option("--to", command->to, "format that is written")->required()->check(CLI::IsMember(names));
  convert->add_option("--annotations", command->files.annotations, "file or folder of the format that is read")
      ->required();
  convert->add_option("--images", command->files.images,
                      "folder of the pictures, where the format does not say where they are, or says it wrongly");
  convert->add_option("--out", command->out, "folder to write")->required();
  convert
      ->add_option("--split", command->files.split,
                   "which of the splits in a folder of yolo, voc or cityscapes, read or written")
      ->capture_default_str();
  convert->callback([command] { command->run(); });
}

}  // namespace tessera
