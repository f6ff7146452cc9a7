// SHA-256 digests as 64 lower-case hexadecimal digits.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include <sha2.h>

namespace qsweep::io {

class Sha256 {
 public:
  Sha256() { SHA256Init(&context_); }
  void update(std::span<const std::byte> bytes);
  // The digest of everything so far.
  std::string hex() const;

 private:
  SHA2_CTX context_;
};

std::string sha256_hex(std::span<const std::byte> bytes);
// Error where the file is missing or not a regular file.
std::string sha256_hex_of_file(const std::string& path);

}  // namespace qsweep::io
