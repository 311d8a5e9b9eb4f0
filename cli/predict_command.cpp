// tessera predict: pictures or a video with masks, boxes, names and scores, and the results as COCO JSON.
#include <algorithm>
#include <memory>

#include "cli/commands.h"
#include "cli/image_files.h"
#include "cli/model_options.h"
#include "cli/predict_video.h"
#include "data/video.h"

namespace tessera {

namespace {

namespace fs = std::filesystem;

struct PredictCommand {
  ModelOptions model;
  std::vector<std::string> images;
  i64 limit = 0;
  nn::InferenceOptions inference;
  PredictOptions options;
  PredictVideoOptions video;
  CLI::Option *rate = nullptr, *encoder = nullptr;

  void run() {
    const bool to_video = is_video_name(options.out);
    // Before a model is loaded.
    if (to_video)
      take_video();
    else
      take_images();
    const LoadedModel loaded = model.load();
    nn::fuse_for_inference(*loaded.model, inference);
    if (const int signal = to_video ? predict_video(loaded, video) : predict(loaded, options))
      throw CLI::RuntimeError(128 + signal);
  }

  void take_images() {
    for (const std::string& name : images)
      TESSERA_CHECK(!is_video_name(name),
                    "{}: is a video, for which --out is one too, by its ending ({}), not the folder {}", name,
                    video_endings(), options.out);
    for (const CLI::Option* option : {rate, encoder})
      TESSERA_CHECK(option->count() == 0, "predict: {} is of videos, and --out {} is a folder; videos end in {}",
                    option->get_name(), options.out, video_endings());
    options.images = image_files(images, limit);
    options.inputs = model.files();
  }

  void take_video() {
    TESSERA_CHECK(has_video(), "{}: no video can be written: {}", options.out, video_support());
    TESSERA_CHECK(!options.maps && !options.stages && options.annotations.empty(),
                  "predict: --maps, --stages and --annotations are of pictures, and {} is a video", options.out);
    const auto is_picture = [](const std::string& name) { return fs::is_directory(name) || is_image_name(name); };
    if (std::all_of(images.begin(), images.end(), is_picture)) {
      video.images = image_files(images, limit);
    } else {
      TESSERA_CHECK(images.size() == 1, "predict: one video at a time makes {}, or pictures alone; these are {} names",
                    options.out, images.size());
      TESSERA_CHECK(rate->count() == 0, "predict: --fps is of pictures; the frames of {} keep their times", images[0]);
      video.video = images[0];
    }
    video.out = options.out;
    video.inputs = model.files();
    video.threshold = options.threshold;
    video.limit = limit;
  }
};

}  // namespace

void add_predict(CLI::App& app) {
  const auto predict = std::make_shared<PredictCommand>();
  PredictOptions* options = &predict->options;
  CLI::App* command =
      app.add_subcommand("predict", "Finds objects in images: pictures with masks, and COCO results; or in videos");
  predict->model.add(*command);
  command
      ->add_option(
          "--out", options->out,
          "folder for the pictures, results.json, counts.csv (how many objects a picture has), and images.json, which "
          "tells "
          "whose image ids these are; of "
          "a network that finds segments panoptic.json and its folder of PNGs; of Cityscapes cityscapes/, its text "
          "files and masks; no image is overwritten. Or a video, by its ending: " +
              video_endings())
      ->required();
  command
      ->add_option("images", predict->images,
                   "image files, or folders of them; for a video also one video, or a camera (/dev/video0)")
      ->required();
  command
      ->add_option(
          "--threshold", options->threshold,
          "draw and count objects of at least this score; results.json holds all above inference.score_threshold")
      ->capture_default_str();
  command->add_option("--limit", predict->limit, "stop after this many images; 0: all")->capture_default_str();
  command->add_option(
      "--annotations", options->annotations,
      "COCO annotation file, of segments too, image list, or folder of Cityscapes (gtFine/val), of the images, matched "
      "by the longest ends of their paths: results have its image ids, and what is annotated is drawn beside what is "
      "found");
  predict->rate = command->add_option("--fps", predict->video.rate, "images per second, where they make a video")
                      ->capture_default_str()
                      ->check(CLI::Range(1, 1000));
  predict->encoder = command
                         ->add_option("--encoder", predict->video.encoder,
                                      "of a video, by FFmpeg's name (libx264, mpeg4); without it the one that is usual "
                                      "in such a file")
                         ->type_name("NAME");
  add_inference(*command, predict->inference);
  command->add_flag("--maps", options->maps, "also save the instance activation maps as pictures");
  command->add_flag("--stages", options->stages,
                    "also save how each mask was refined, a tile per stage, with the cells that it computed, and tell "
                    "their share (EffSeg)");
  command->callback([predict] { predict->run(); });
}

}  // namespace tessera
