// Where data says that an image is: a path, a file:// URI, or a data: URI that holds it.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace qsweep::image {

// Files that data may name. Links in these folders may lead out of them; a path may not.
struct Folders {
  std::string data;  // of the data file; relative paths are relative to it, empty: to the current one
  std::vector<std::string> others{};  // allowed besides
};

// The path of the file that `location` names; empty for a data: URI. file:///PATH and file://localhost/PATH
// are percent-decoded, unless only a file of the undecoded name exists. Error for remote addresses, which are
// never fetched, for other hosts, and for files that lie in none of the folders, whether they exist or not;
// an absolute path or URI may also lead into the folder in which the program was started.
std::string path_of(const std::string& location, const Folders& folders);

// The bytes of the image; those of a data: URI decoded from base64. Errors do not name it.
std::vector<std::byte> read_source(const std::string& location, const Folders& folders);

}  // namespace qsweep::image
