#include "scores/files.h"

#include "io/atomic_file.h"
#include "scores/csv.h"
#include "scores/schema.h"

namespace qsweep::scores {

void write_scores(const Run& run, const std::string& folder) {
  io::write_file_atomically(folder + "/scores.json", to_text(to_json(run)));
  write_csv(run, folder);
}

void write_csv(const Run& run, const std::string& folder) {
  io::write_file_atomically(folder + "/scores.csv", to_csv(run));
}

Run read_scores(const std::string& folder) {
  const std::string path = folder + "/scores.json";
  return from_json(io::read_json_file(path), path);
}

}  // namespace qsweep::scores
