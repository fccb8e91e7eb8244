// Keypoints of an image in C++, by the file that `traqpoint export onnx --out net.onnx` writes.
//
//     g++ -std=c++17 examples/cpp/extract.cpp -I ONNXRUNTIME/include -L ONNXRUNTIME/lib -lonnxruntime -o extract
//     ./extract net.onnx WIDTH HEIGHT < image.rgb
//
// ONNXRUNTIME: an unpacked release of onnxruntime. image.rgb: bytes R, G, B, pixel after pixel, row by row. Prints x, y
// and score per line; the first pixel's centre is (0.5, 0.5).
#include <onnxruntime_cxx_api.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: extract net.onnx WIDTH HEIGHT < image.rgb\n");
    return 2;
  }
  const int64_t width = std::atoll(argv[2]), height = std::atoll(argv[3]), pixels = width * height;
  std::vector<unsigned char> bytes(3 * pixels);
  if (std::fread(bytes.data(), 1, bytes.size(), stdin) != bytes.size()) {
    std::fprintf(stderr, "standard input is no RGB image of %sx%s\n", argv[2], argv[3]);
    return 1;
  }
  std::vector<float> image(3 * pixels);  // channel by channel, in [0, 1]
  for (int64_t i = 0; i < pixels; ++i)
    for (int c = 0; c < 3; ++c) image[c * pixels + i] = bytes[3 * i + c] / 255.0f;

  Ort::Env env;
  Ort::Session session(env, argv[1], Ort::SessionOptions{});
  const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  const int64_t shape[] = {1, 3, height, width};
  int64_t max_keypoints = 1024;
  float min_score = 0.0f;
  std::vector<Ort::Value> inputs;
  inputs.push_back(Ort::Value::CreateTensor<float>(memory, image.data(), image.size(), shape, 4));
  inputs.push_back(Ort::Value::CreateTensor<int64_t>(memory, &max_keypoints, 1, nullptr, 0));
  inputs.push_back(Ort::Value::CreateTensor<float>(memory, &min_score, 1, nullptr, 0));
  const char* names[] = {"images", "max_keypoints", "min_score"};
  const char* results[] = {"keypoints", "scores"};
  const auto found = session.Run(Ort::RunOptions{}, names, inputs.data(), 3, results, 2);

  const int64_t count = found[1].GetTensorTypeAndShapeInfo().GetShape()[1];
  const float* xy = found[0].GetTensorData<float>();
  const float* scores = found[1].GetTensorData<float>();
  for (int64_t i = 0; i < count; ++i) std::printf("%g %g %g\n", xy[2 * i], xy[2 * i + 1], scores[i]);
  return 0;
}
