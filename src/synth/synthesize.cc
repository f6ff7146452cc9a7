#include "synth/synthesize.h"

#include <algorithm>
#include <filesystem>
#include <vector>

#include "io/atomic_file.h"
#include "io/checkpoint_writer.h"
#include "io/json.h"
#include "io/mapped_file.h"
#include "models/outline.h"
#include "synth/config.h"
#include "synth/tokenizer.h"
#include "synth/values.h"

namespace qsweep::synth {
namespace {

constexpr int64_t kMaxShardBytes = 4'000'000'000;   // as the published checkpoints have them
constexpr int64_t kPieceElems = int64_t{16} << 20;  // drawn and written at once
constexpr int64_t kOtherBytes = int64_t{64} << 20;  // more than everything but the weights takes

// What a model folder may hold besides config.json and weights.
constexpr const char* kCopied[] = {"preprocessor_config.json", "video_preprocessor_config.json",
                                   "generation_config.json",   "tokenizer.json",
                                   "processor_config.json",    "tokenizer_config.json",
                                   "chat_template.json",       "chat_template.jinja"};

void copy_files(const std::string& from, const std::string& to) {
  for (const char* name : kCopied) {
    const std::string file = from + "/" + name;
    if (!std::filesystem::exists(file)) continue;
    const auto content = io::MappedFile::open(file);
    io::AtomicFile copy(to + "/" + name);
    copy.write(content.bytes());
    copy.commit();
  }
}

void check_room(const std::string& folder, int64_t bytes) {
  std::error_code error;
  const auto space = std::filesystem::space(folder, error);
  if (!error && space.available < static_cast<uintmax_t>(bytes))
    fail("{}: expected room for {} bytes, found {}", folder, bytes, space.available);
}

std::vector<io::NamedTensor> tensors_of(const io::Checkpoint& checkpoint) {
  std::vector<io::NamedTensor> tensors;
  for (const std::string& name : checkpoint.names()) tensors.push_back({name, *checkpoint.find(name)});
  return tensors;
}

// Draws a tensor's numbers after the other.
io::TensorSource drawn(const models::Model& model, const Options& options) {
  const int64_t total_bytes = model.checkpoint.size_bytes();
  return [&model, &options, total_bytes, done_bytes = int64_t{0}, piece = std::vector<bf16>()](
             const io::NamedTensor& item, const io::TakeBytes& sink) mutable {
    const bool less_one = std::ranges::count(model.norms_less_one, item.name) > 0;
    const Values values(options.seed, item.name, item.tensor.shape, less_one ? 0 : 1);
    const int64_t elements = item.tensor.elements();
    for (int64_t first = 0; first < elements; first += kPieceElems) {
      piece.resize(static_cast<size_t>(std::min(kPieceElems, elements - first)));
      values.draw(options.threads, first, piece);
      sink(std::as_bytes(std::span(piece)));
      done_bytes += static_cast<int64_t>(piece.size() * sizeof(bf16));
      if (options.progress) options.progress(done_bytes, total_bytes, item.name);
    }
  };
}

void write_weights(const std::string& folder, const models::Model& model, const Options& options) {
  io::write_checkpoint(folder, tensors_of(model.checkpoint), kMaxShardBytes,
                       options.sparse ? io::TensorSource() : drawn(model, options));
}

}  // namespace

void synthesize(const std::string& config_folder, const std::string& out, const Options& options) {
  const std::string config_path = config_folder + "/config.json";
  const io::Json config =
      with_layers(io::read_json_file(config_path), config_path, options.layers, options.vision_layers);
  const models::Model model = models::outline(config_folder, config);
  io::AtomicFolder folder(out);
  check_room(folder.path(), (options.sparse ? 0 : model.checkpoint.size_bytes()) + kOtherBytes);
  copy_files(config_folder, folder.path());
  const std::string tokenizer_path = folder.path() + "/tokenizer.json";
  if (!std::filesystem::exists(tokenizer_path))
    io::write_file_atomically(tokenizer_path, tokenizer(config, config_path, model).dump(1) + "\n");
  write_weights(folder.path(), model, options);
  io::write_file_atomically(folder.path() + "/config.json", config.dump(1) + "\n");
  folder.commit();
}

}  // namespace qsweep::synth
