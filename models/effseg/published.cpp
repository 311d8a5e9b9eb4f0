#include "models/published.h"

#include "models/effseg/effseg.h"

namespace tessera::effseg {

namespace {

constexpr double kNone = kNotPublished;

// The paper's GFLOPs are a mean over 100 pictures of val2017. These counts, a picture of the mean's size with so many
// predictions of so many queries, explain all of them.
PublishedTable table(const std::string& title, std::vector<PublishedModel> models, const std::string& measured) {
  return {.title = title,
          .models = std::move(models),
          .measured = measured,
          .input = {800, 1116},
          .found = Segmenter::Found{.objects = 97, .queries = 60}};
}

PublishedModel costs(const std::string& config, double parameters, double flops, double fps = kNone) {
  return {.config = config, .fps = fps, .parameters = parameters, .flops = flops};
}

}  // namespace

std::vector<PublishedTable> published() {
  const std::string on_val = "COCO val2017 (AP: test-dev), FPS on one A100";
  std::vector<PublishedTable> tables;
  tables.push_back(
      table("Table 3",
            {{"mask_rcnn_r50_fpn", 38.8, 39.3, 59.1, 42.2, 19.4, 41.2, 57.4, 14.4, 40.9, 28.6, 37.5, 235.4},
             {"point_rend_r50_fpn", 39.5, 40.1, 59.3, 42.9, 19.5, 42.2, 58.9, 10.2, 42.4, 31.9, 37.8, 302.9},
             {"refine_mask_r50_fpn", 40.0, 40.5, 59.4, 43.7, 20.0, 42.2, 60.0, 10.3, 43.1, 32.5, 41.2, 446.3},
             {"effseg_r50_fpn", 40.1, 40.5, 59.7, 43.5, 20.1, 42.8, 59.4, 11.3, 42.9, 32.4, 38.8, 245.4},
             {"mask_rcnn_r50_fpn_24", 39.5, 40.4, 60.2, 43.0, 19.6, 42.0, 57.5, 14.4, 41.7, 29.4, 37.5, 234.7},
             {"point_rend_r50_fpn_24", 40.6, 41.2, 60.7, 44.2, 21.0, 43.1, 60.0, 10.3, 43.2, 32.4, 37.8, 302.2},
             {"refine_mask_r50_fpn_24", 40.8, 41.7, 60.7, 44.2, 20.5, 43.2, 60.6, 10.3, 44.0, 33.3, 41.2, 445.7},
             {"effseg_r50_fpn_24", 41.1, 41.6, 61.1, 44.7, 20.7, 43.6, 60.9, 11.3, 43.8, 33.0, 38.8, 244.5},
             {"mask_rcnn_r50_defenc", 40.7, 41.7, 61.7, 44.2, 21.8, 43.4, 59.3, 11.3, 43.4, 30.9, 45.0, 321.8},
             {"point_rend_r50_defenc", 41.5, 42.5, 62.0, 45.0, 22.3, 44.2, 60.9, 8.7, 44.3, 33.7, 45.3, 387.4},
             {"refine_mask_r50_defenc", 42.0, 42.7, 62.3, 45.8, 23.0, 44.6, 61.5, 8.7, 45.1, 34.6, 48.7, 529.1},
             {"effseg_r50_defenc", 42.1, 42.6, 62.3, 45.8, 22.1, 44.8, 61.5, 9.4, 45.0, 34.4, 46.3, 332.6}},
            on_val));
  tables.push_back(table("Table 4, the mask heads alone",
                         {costs("mask_rcnn_r50_fpn", 2.9, 70.3, 98.7), costs("point_rend_r50_fpn", 3.2, 137.8, 26.5),
                          costs("refine_mask_r50_fpn", 6.6, 281.2, 26.5), costs("effseg_r50_fpn", 4.2, 80.3, 34.3)},
                         "with the pasting of masks (ours: without), FPS on one A100"));
  tables.back().part = "heads.gvd.heads.2";
  tables.push_back(
      table("Table 5",
            {{"effseg_r50_fpn_mlp", 39.5, kNone, 59.0, 43.0, 18.9, 42.2, 58.2, 12.2, 42.6, 32.1, 38.4, 227.3},
             {"effseg_r50_fpn_conv", 39.8, kNone, 59.4, 43.1, 19.4, 42.0, 59.3, 12.0, 42.6, 32.0, 38.5, 234.0},
             {"effseg_r50_fpn_deform_conv", 39.8, kNone, 59.2, 43.5, 19.9, 42.4, 58.9, 11.5, 42.5, 31.7, 38.5, 235.0},
             {"effseg_r50_fpn", 40.1, kNone, 59.7, 43.5, 20.1, 42.8, 59.4, 11.3, 42.9, 32.4, 38.8, 245.4},
             {"effseg_r50_fpn_dense_sfm", 39.8, kNone, 59.1, 43.5, 19.5, 42.5, 59.0, 9.2, 42.8, 32.3, 38.9, 337.3}},
            "COCO val2017, FPS on one A100"));
  tables.push_back(table("Released models",
                         {{.config = "mask_rcnn_v2_r50_fpn", .ap_val = 41.3, .flops = 226.7},
                          {.config = "point_rend_v2_r50_fpn", .ap_val = 42.0, .flops = 296.2},
                          {.config = "refine_mask_v2_r50_fpn", .ap_val = 42.7, .flops = 455.1},
                          {.config = "effseg_v2_r50_fpn", .ap_val = 42.4, .flops = 262.6}},
                         "COCO val2017, from the authors' README; what is found differs from the paper's tables"));
  tables.push_back(table("Released panoptic models",
                         {{.config = "mask_rcnn_v2_r50_fpn_panoptic", .flops = 218.6, .pq = 45.8},
                          {.config = "point_rend_v2_r50_fpn_panoptic", .flops = 289.7, .pq = 47.0},
                          {.config = "refine_mask_v2_r50_fpn_panoptic", .flops = 433.2, .pq = 47.2},
                          {.config = "effseg_v2_r50_fpn_panoptic", .flops = 262.6, .pq = 47.0}},
                         "COCO val2017, 133 classes, from the authors' README and training logs"));
  return tables;
}

}  // namespace tessera::effseg
