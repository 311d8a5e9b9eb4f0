#!/usr/bin/env python3
"""pycocotools on the files of `tessera_bench eval --dir DIR`, from files to figures.

    python3 bench/pycocotools_peer.py --dir DIR [--metric segm|bbox|boundary] [--images N] [--threads N]

Prints one JSON object: {"name", "images", "seconds", "cpu_seconds", "peak_mb", "stats"}. boundary is what the Boundary IoU
package does around pycocotools: the mask of every object and detection is decoded, padded and eroded step by step
(OpenCV), the rest encoded, and the overlap is the lesser of the two. --images N keeps the first N images: time grows with
their number. --threads is what OpenCV may use; pycocotools has one.
"""
import argparse
import json
import os
import resource
import tempfile
import time

import numpy as np
from pycocotools import mask as masks
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval


def boundary(rle, ratio=0.02):
    import cv2

    mask = masks.decode(rle)
    height, width = mask.shape
    steps = max(1, int(round(ratio * np.sqrt(height**2 + width**2))))
    padded = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    eroded = cv2.erode(padded, np.ones((3, 3), dtype=np.uint8), iterations=steps)[1:-1, 1:-1]
    return masks.encode(np.asfortranarray(mask - eroded))


class BoundaryEval(COCOeval):
    def _prepare(self):
        super()._prepare()
        for source, lists in ((self.cocoGt, self._gts), (self.cocoDt, self._dts)):
            for entries in lists.values():
                for entry in entries:
                    entry["boundary"] = boundary(entry["segmentation"])

    def computeIoU(self, image, category):
        overlaps = super().computeIoU(image, category)
        if len(overlaps) == 0:
            return overlaps
        truths, found = self._gts[image, category], self._dts[image, category]
        order = np.argsort([-d["score"] for d in found], kind="mergesort")[: self.params.maxDets[-1]]
        crowd = [int(g["iscrowd"]) for g in truths]
        edges = masks.iou([found[i]["boundary"] for i in order], [g["boundary"] for g in truths], crowd)
        edges[:, np.array(crowd) > 0] = 1
        return np.minimum(overlaps, edges)


def first_images(folder, results, count):
    """The files of the first `count` images, in a new folder."""
    truth = json.load(open(os.path.join(folder, "annotations.json")))
    truth["images"] = truth["images"][:count]
    kept = {image["id"] for image in truth["images"]}
    truth["annotations"] = [a for a in truth["annotations"] if a["image_id"] in kept]
    found = [d for d in json.load(open(os.path.join(folder, results))) if d["image_id"] in kept]
    smaller = tempfile.mkdtemp(prefix="tessera-bench-")
    for name, content in (("annotations.json", truth), (results, found)):
        with open(os.path.join(smaller, name), "w") as file:
            json.dump(content, file)
    return smaller


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--dir", required=True)
    parser.add_argument("--metric", choices=["segm", "bbox", "boundary"], default="segm")
    parser.add_argument("--images", type=int)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    if options.metric == "boundary":
        import cv2

        cv2.setNumThreads(options.threads)
    results = "bbox.json" if options.metric == "bbox" else "segm.json"
    folder = options.dir
    if options.images:
        folder = first_images(folder, results, options.images)
        print(f"files: {folder}")

    start, cpu = time.perf_counter(), time.process_time()
    truth = COCO(os.path.join(folder, "annotations.json"))
    found = truth.loadRes(os.path.join(folder, results))
    kind = BoundaryEval if options.metric == "boundary" else COCOeval
    evaluation = kind(truth, found, "bbox" if options.metric == "bbox" else "segm")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    print(json.dumps({
        "name": f"pycocotools {options.metric}", "images": len(truth.imgs), "seconds": round(seconds, 2),
        "cpu_seconds": round(cpu, 2),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "stats": [float(s) for s in evaluation.stats],
    }))


if __name__ == "__main__":
    main()
