// What a command writes must not be what it reads.
#pragma once

#include <string>
#include <vector>

namespace qsweep::cli {

struct NamedFile {
  std::string what;  // such as "--trace", or "the file of --data"
  std::string path;
};

// All files that stand in a folder.
std::vector<NamedFile> files_of(const std::string& what, const std::string& folder);

// Error where one of the outputs is an input or another output, under whatever name: links and relative paths
// are the file that they lead to. Files need not exist.
void check_outputs(const std::vector<NamedFile>& inputs, const std::vector<NamedFile>& outputs);

// Error where --out is the folder of the model, whose files must stay apart from those of runs.
void check_out_folder(const std::string& out, const std::string& model);

}  // namespace qsweep::cli
