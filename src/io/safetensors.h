// Reading safetensors files: 8 bytes little-endian header length, the header (JSON), the data section.
// https://huggingface.co/docs/safetensors describes the format. Everything in the header is checked before
// use.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/mapped_file.h"
#include "tensor/tensor.h"

namespace qsweep::io {

struct TensorEntry {
  std::string name;
  DType dtype = DType::f32;
  Shape shape;
  int64_t begin = 0, end = 0;  // bytes in the file's data section
};

struct SafetensorsHeader {
  std::vector<TensorEntry> entries;  // by place; they cover the data section exactly, without overlap
  std::map<std::string, std::string> metadata;
  int64_t data_begin = 0;  // byte of the file at which the data section starts
};

// Parses and checks the header of a whole file in memory; `where` names the file in errors.
// Error: a header longer than 100 MB or than the file, JSON that is not an object of tensors, unknown dtypes,
// lengths that do not follow from dtype and shape, duplicate names, overlaps, gaps, bytes after the last
// tensor.
SafetensorsHeader parse_safetensors_header(std::span<const std::byte> file, const std::string& where);

class SafetensorsFile {
 public:
  static SafetensorsFile open(const std::string& path);

  const std::vector<TensorEntry>& entries() const { return header_.entries; }
  const std::map<std::string, std::string>& metadata() const { return header_.metadata; }
  // nullptr where no tensor has this name.
  const TensorEntry* find(std::string_view name) const;
  // Valid while this object (or what it was moved to) lives. Error where the file keeps the tensor at an
  // address that is not aligned to its elements.
  TensorView view(const TensorEntry& entry) const;

  const MappedFile& file() const { return file_; }
  // Header length and header, as they are in the file.
  std::span<const std::byte> header_bytes() const;

 private:
  SafetensorsFile(MappedFile file, SafetensorsHeader header);

  MappedFile file_;
  SafetensorsHeader header_;
  std::map<std::string, size_t, std::less<>> index_of_;
};

}  // namespace qsweep::io
