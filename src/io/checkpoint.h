// The weights of a model folder in Hugging Face layout: model.safetensors, or shards with their index.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "io/safetensors.h"
#include "tensor/tensor.h"

namespace qsweep::io {

class Checkpoint {
 public:
  // Reads all headers, no weights. Error where neither model.safetensors nor model.safetensors.index.json
  // exists, where a tensor of the index is in no shard, and where shards hold different tensors of one name
  // and the index does not say which one counts. Lesser contradictions are warned of.
  static Checkpoint open(const std::string& model_folder);
  // Weights that are not there yet: get() takes whatever it is asked for as stored in bf16 and gives a view
  // without data; find() knows what get() was asked for.
  static Checkpoint wanted(const std::string& model_folder);

  bool is_stored() const { return exists_; }  // weights that are there, not wanted ones

  // nullptr where no tensor has this name. Views are valid while this object (or what it was moved to) lives.
  const TensorView* find(const std::string& name) const;
  // The tensor `name`, which must be bf16, f16 or f32 and of this shape; otherwise an Error that names it
  // with what was expected and found.
  TensorView get(const std::string& name, const Shape& expected_shape) const;

  // The tensor `name`, which must be there, whatever its dtype and shape are.
  TensorView as_stored(const std::string& name) const;

  std::vector<std::string> names() const;   // sorted
  std::vector<std::string> unread() const;  // of the tensors that nobody asked for; sorted
  const std::vector<std::string>& warnings() const { return warnings_; }
  int64_t parameters() const;              // elements of all tensors
  int64_t size_bytes() const;              // of all tensors
  std::vector<std::string> paths() const;  // of the files, in the order of their names
  std::string headers_sha256() const;      // of the headers of all files, in the order of the files' names

  // Error where a file has changed since open().
  void check_unchanged() const;

  // A view of this checkpoint: drops its pages from resident memory (a later read brings them back), asks for
  // them ahead of use, or brings them in at once.
  void release(const TensorView& tensor) const;
  void prefetch(const TensorView& tensor) const;
  void populate(const TensorView& tensor) const;

 private:
  Checkpoint(std::string folder, std::vector<SafetensorsFile> files, bool exists);
  void choose_copies(const std::map<std::string, std::string>& shard_of_tensor);
  const MappedFile& file_of(const TensorView& tensor) const;

  std::string folder_;
  std::vector<SafetensorsFile> files_;  // by name
  bool exists_;
  mutable std::map<std::string, TensorView> tensors_;  // what is wanted becomes known by get()
  mutable std::set<std::string> read_;
  std::vector<std::string> warnings_;
};

}  // namespace qsweep::io
