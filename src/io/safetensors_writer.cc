#include "io/safetensors_writer.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <tuple>
#include <vector>

#include "base/checked.h"
#include "io/atomic_file.h"
#include "io/json.h"

namespace qsweep::io {
namespace {

// JSON text of a string; Error where it is not UTF-8.
std::string quoted(const std::string& text) {
  try {
    return Json(text).dump();
  } catch (const Json::type_error&) {
    fail("a tensor name or metadata text is not valid UTF-8");
  }
}

std::vector<const NamedTensor*> in_file_order(std::span<const NamedTensor> tensors) {
  std::vector<const NamedTensor*> order;
  for (const NamedTensor& tensor : tensors) order.push_back(&tensor);
  const auto key = [](const NamedTensor* t) {
    return std::make_tuple(-size_bytes(t->tensor.dtype), std::cref(t->name));
  };
  std::sort(order.begin(), order.end(), [&](const auto* a, const auto* b) { return key(a) < key(b); });
  return order;
}

void check_names(std::span<const NamedTensor> tensors) {
  std::vector<std::string_view> names;
  for (const NamedTensor& tensor : tensors) names.push_back(tensor.name);
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  QSWEEP_CHECK(twice == names.end(), "two tensors are named {}", *twice);
  QSWEEP_CHECK(!std::binary_search(names.begin(), names.end(), "__metadata__"), "the name is reserved");
}

std::string header_text(std::span<const NamedTensor* const> order,
                        const std::map<std::string, std::string>& metadata) {
  std::vector<std::string> members;
  if (!metadata.empty()) {
    std::vector<std::string> pairs;
    for (const auto& [key, value] : metadata) pairs.push_back(quoted(key) + ":" + quoted(value));
    members.push_back(fmt::format("\"__metadata__\":{{{}}}", fmt::join(pairs, ",")));
  }
  int64_t begin = 0;
  for (const NamedTensor* item : order) {
    const int64_t end = checked_add(begin, item->tensor.size_bytes());
    members.push_back(fmt::format("{}:{{\"dtype\":\"{}\",\"shape\":[{}],\"data_offsets\":[{},{}]}}",
                                  quoted(item->name), name(item->tensor.dtype),
                                  fmt::join(item->tensor.shape, ","), begin, end));
    begin = end;
  }
  std::string text = fmt::format("{{{}}}", fmt::join(members, ","));
  text.resize((text.size() + 7) / 8 * 8, ' ');
  return text;
}

void write_tensor(AtomicFile& file, const NamedTensor& item, const TensorSource& source) {
  size_t written_bytes = 0;
  source(item, [&](std::span<const std::byte> bytes) {
    file.write(bytes);
    written_bytes += bytes.size();
  });
  QSWEEP_CHECK(written_bytes == static_cast<size_t>(item.tensor.size_bytes()), "{}: {} bytes for shape {}",
               item.name, written_bytes, to_string(item.tensor.shape));
}

}  // namespace

void write_safetensors(const std::string& path, std::span<const NamedTensor> tensors,
                       const std::map<std::string, std::string>& metadata) {
  write_safetensors(path, tensors, metadata, [](const NamedTensor& item, const TakeBytes& sink) {
    sink({item.tensor.data, static_cast<size_t>(item.tensor.size_bytes())});
  });
}

void write_safetensors(const std::string& path, std::span<const NamedTensor> tensors,
                       const std::map<std::string, std::string>& metadata, const TensorSource& source) {
  static_assert(std::endian::native == std::endian::little,
                "the length is written in the machine's byte order");
  check_names(tensors);
  const auto order = in_file_order(tensors);
  const std::string header = header_text(order, metadata);
  const uint64_t header_bytes = header.size();
  AtomicFile file(path);
  file.write(std::as_bytes(std::span(&header_bytes, 1)));
  file.write(header);
  for (const NamedTensor* item : order) {
    if (source) {
      write_tensor(file, *item, source);
    } else {
      file.skip(item->tensor.size_bytes());
    }
  }
  file.commit();
}

}  // namespace qsweep::io
