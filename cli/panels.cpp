#include "cli/panels.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "cli/chart.h"
#include "data/base64.h"
#include "data/contours.h"
#include "data/image.h"
#include "data/resize.h"

namespace tessera {

namespace {

constexpr i64 kLongestSide = 800;  // of the JPEG

std::string data_url(const Tensor& image) {
  const i64 height = image.dim(0), width = image.dim(1), longest = std::max(height, width);
  const auto side = [&](i64 length) { return std::max<i64>(1, length * kLongestSide / longest); };
  return "data:image/jpeg;base64," +
         encode_base64(
             encode_jpeg(longest > kLongestSide ? resize_bilinear(image, {side(height), side(width)}) : image));
}

// "M3 4h2v1h-2z": relative steps, since a mask has many.
std::string path_of(const Rle& mask) {
  std::string path;
  for (const std::vector<double>& outline : mask_outlines(mask)) {
    path += fmt::format("M{} {}", outline[0], outline[1]);
    for (size_t i = 2; i < outline.size(); i += 2) {
      const double dx = outline[i] - outline[i - 2], dy = outline[i + 1] - outline[i - 1];
      path += dx != 0 ? fmt::format("h{}", dx) : fmt::format("v{}", dy);
    }
    path += 'z';
  }
  return path;
}

std::string object_tag(const PanelObject& object, i64 font) {
  const std::string label =
      escape_html(object.score ? fmt::format("{} {:.2f}", object.name, *object.score) : object.name);
  std::string tag = fmt::format("<g class=\"object{}\" style=\"--k:{};--o:{}\"{}><title>{}</title>",
                                object.object < 0 ? " alone" : "", object.class_index, std::max<i64>(0, object.object),
                                object.score ? fmt::format(" data-score=\"{:.4f}\"", *object.score) : "", label);
  if (object.mask) tag += fmt::format("<path class=\"mask\" d=\"{}\"/>", path_of(*object.mask));
  if (object.box) {
    const auto& [x, y, width, height] = *object.box;
    tag += fmt::format(
        "<rect class=\"box\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\"/>"
        "<text class=\"label\" x=\"{:.1f}\" y=\"{:.1f}\">{}</text>",
        x, y, std::max(0.0, width), std::max(0.0, height), x,
        std::max(y - 0.2 * static_cast<double>(font), static_cast<double>(font)), label);
  }
  return tag + "</g>\n";
}

}  // namespace

std::vector<PanelObject> annotated_objects(const CocoDataset& set, i64 picture) {
  std::vector<PanelObject> objects;
  const CocoImage& image = set.images[static_cast<size_t>(picture)];
  for (const i64 position : set.annotations_of[static_cast<size_t>(picture)]) {
    const CocoAnnotation& annotation = set.annotations[static_cast<size_t>(position)];
    if (annotation.iscrowd) continue;
    const i64 class_index = set.class_index.at(annotation.category_id);
    PanelObject& object =
        objects.emplace_back(PanelObject{.name = set.categories[static_cast<size_t>(class_index)].name,
                                         .class_index = class_index,
                                         .object = position,
                                         .box = annotation.bbox});
    if (annotation.has_mask()) object.mask = annotation_mask(annotation, image.height, image.width);
    if (!object.box && object.mask) object.box = rle_bbox(*object.mask);
  }
  return objects;
}

std::string counted_objects(const std::vector<PanelObject>& objects, double score) {
  std::map<std::string, i64> counts;
  for (const PanelObject& object : objects)
    if (object.score.value_or(1) >= score) ++counts[object.name];
  std::string text;
  for (const auto& [name, count] : counts) text += fmt::format("{}{} {}", text.empty() ? "" : ", ", count, name);
  return text.empty() ? "nothing" : text;
}

std::string picture_panels(const Tensor& image, const std::string& title, const std::string& text,
                           const std::vector<Panel>& panels, i64 number) {
  const i64 height = image.dim(0), width = image.dim(1), font = std::max<i64>(1, std::max(height, width) / 28);
  std::string html = fmt::format(
      "<article><h4>{}</h4><p class=\"quiet\">{}</p>\n<svg class=\"store\" width=\"0\" height=\"0\" "
      "aria-hidden=\"true\"><image id=\"picture-{}\" width=\"{}\" height=\"{}\" href=\"{}\"/></svg>\n"
      "<div class=\"panels\">\n",
      escape_html(title), escape_html(text), number, width, height, data_url(image));
  for (const Panel& panel : panels) {
    const std::string caption = escape_html(panel.caption);
    html += fmt::format(
        "<figure class=\"{}\"><svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}, {}\" font-size=\"{}\">"
        "<use href=\"#picture-{}\"/>\n<g{}>\n",
        panel.kind, width, height, escape_html(title), caption, font, number,
        panel.kind == "truth" ? fmt::format(" id=\"truth-{}\"", number) : "");
    for (const PanelObject& object : panel.objects) html += object_tag(object, font);
    html += "</g>";
    if (panel.kind != "truth") html += fmt::format("<use class=\"over\" href=\"#truth-{}\"/>", number);
    html += fmt::format("</svg><figcaption>{}</figcaption></figure>\n", caption);
  }
  return html + "</div></article>\n";
}

std::string layer_form(i64 classes, std::optional<double> score) {
  std::string form = "<form id=\"layers\" class=\"tools sticky\" aria-label=\"What the pictures show\">\n";
  const auto add = [&](const char* name, const char* text, bool shown = true) {
    form +=
        fmt::format("<label><input type=\"checkbox\" name=\"{}\"{}> {}</label>\n", name, shown ? " checked" : "", text);
  };
  if (score) {
    add("truth", "annotated");
    add("found", "predicted");
    add("over", "annotated outlines on the predicted", false);
  }
  add("mask", "masks");
  add("box", "boxes");
  add("label", "names", classes > 1);
  form += fmt::format(
      "<label>colour by <select name=\"colour\"><option value=\"object\">object{}</option>"
      "<option value=\"class\">class</option></select></label>\n",
      score ? " (white: on none)" : "");
  if (score)
    form += fmt::format(
        "<label>score from <input type=\"range\" name=\"score\" min=\"0\" max=\"1\" step=\"0.01\" "
        "value=\"{0}\"> <output>{0:.2f}</output></label>",
        *score);
  return form + "</form>\n";
}

}  // namespace tessera
