// Keypoints of an image in JavaScript, by the file that `traqpoint export onnx --out net.onnx` writes.
//
//     npm install --ignore-scripts onnxruntime-web
//     node examples/js/extract.mjs onnxruntime-web net.onnx WIDTH HEIGHT < image.rgb
//
// onnxruntime-web is WebAssembly, as in a page; onnxruntime-node is native, by the same calls, and faster.
//
// image.rgb: bytes R, G, B, pixel after pixel, row by row. Prints x, y and score per line; the first pixel's centre is
// (0.5, 0.5).
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const [runtime, file, width, height] = process.argv.slice(2);
const ort = createRequire(`${process.cwd()}/`)(runtime); // from the folder where it is run
const [w, h] = [Number(width), Number(height)];
const bytes = readFileSync(0);
if (bytes.length !== 3 * w * h) throw new Error(`${bytes.length} bytes are no RGB image of ${w}x${h}`);

const image = new Float32Array(3 * w * h); // channel by channel, in [0, 1]
for (let i = 0; i < w * h; i++) for (let c = 0; c < 3; c++) image[c * w * h + i] = bytes[3 * i + c] / 255;

const session = await ort.InferenceSession.create(file);
const { keypoints, scores } = await session.run({
  images: new ort.Tensor("float32", image, [1, 3, h, w]),
  max_keypoints: new ort.Tensor("int64", BigInt64Array.from([1024n]), []),
  min_score: new ort.Tensor("float32", Float32Array.from([0]), []),
});
for (let i = 0; i < scores.dims[1]; i++)
  console.log(keypoints.data[2 * i], keypoints.data[2 * i + 1], scores.data[i]);
