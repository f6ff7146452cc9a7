// The run journal: what a run has finished so far, in a SQLite file that survives a kill at any moment.
//
// A journal belongs to one run, told by its identity, and to one process at a time. It holds records of any
// size under keys. Every change is on the disk before the call returns, whole or not at all.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "io/bytes.h"
#include "io/json_fwd.h"

struct sqlite3;

namespace qsweep::io {

class Journal {
 public:
  // Takes the file for a new run; the journal of an earlier run that stood there is gone. Error where the
  // file is something else, or where another process uses it.
  static Journal create(const std::string& path, const Json& identity);
  // Opens a journal to go on with its run. Error where there is none, where it is damaged (everything is
  // checked), or where another process uses it.
  static Journal reopen(const std::string& path);

  const Json& identity() const { return *identity_; }  // an object: what the run's results depend on
  // Error that names what differs from the journal's identity, with its value then and now.
  void check_identity(const Json& now) const;

  using Write = std::function<void(ByteSink&)>;
  using Read = std::function<void(ByteSource&)>;
  bool has(const std::string& key) const;
  // Replaces the record, some bytes at a time: no second copy of it is in memory.
  void write(const std::string& key, const Write& content);
  // Whether there is such a record; Error where `content` reads more or less than all of it.
  bool read(const std::string& key, const Read& content) const;
  void remove(const std::string& key);
  // The changes that body makes become one.
  void atomically(const std::function<void()>& body);

  // Drops all records: the run's results stand elsewhere.
  void finish();
  bool finished() const;

 private:
  struct Close {
    void operator()(sqlite3* database) const;
  };
  Journal(std::string path, int open_flags);
  void check_everything() const;
  int64_t find(const std::string& key) const;  // the record's number, or 0
  void erase(int64_t record);

  std::string path_;
  std::unique_ptr<sqlite3, Close> database_;
  std::shared_ptr<const Json> identity_;  // Json is incomplete here
};

}  // namespace qsweep::io
