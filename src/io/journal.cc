#include "io/journal.h"

#include <cstring>
#include <filesystem>
#include <map>
#include <vector>

#include <fmt/ranges.h>
#include <sqlite3.h>

#include "io/json.h"

namespace qsweep::io {
namespace {

constexpr int64_t kApplicationId = 0x71737770;  // "qswp", in the file's header
constexpr int64_t kVersion = 2;                 // of the tables, and of how an identity is nested
constexpr size_t kPieceBytes = size_t{1} << 20;
constexpr int64_t kMostPieces = int64_t{1} << 24;  // of a record
constexpr const char* kIdentity = "identity";
constexpr const char* kFinished = "finished";
constexpr const char* kSchema =
    "CREATE TABLE record(id INTEGER PRIMARY KEY, key TEXT, bytes INTEGER, checksum INTEGER);"
    "CREATE TABLE piece(id INTEGER PRIMARY KEY, data BLOB)";  // id: that of its record times kMostPieces,
                                                              // plus its place
constexpr const char* kCountTables = "SELECT count(*) FROM sqlite_schema";

[[noreturn]] void fail_as_damaged(const std::string& path, const std::string& found) {
  fail("{}: expected a run journal, found {}; remove it to start anew", path, found);
}

[[noreturn]] void fail_with_reason(sqlite3* database, const std::string& path) {
  switch (sqlite3_errcode(database)) {
    case SQLITE_BUSY:
      fail("{}: another process is using it", path);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      fail_as_damaged(path, fmt::format("a damaged or foreign file ({})", sqlite3_errmsg(database)));
    default:
      fail("{}: {}", path, sqlite3_errmsg(database));
  }
}

class Statement {
 public:
  Statement(sqlite3* database, const std::string& path, const char* sql) : database_(database), path_(path) {
    check(sqlite3_prepare_v2(database, sql, -1, &statement_, nullptr) == SQLITE_OK);
  }
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;
  ~Statement() { sqlite3_finalize(statement_); }

  Statement& bind(int at, int64_t value) {
    check(sqlite3_bind_int64(statement_, at, value) == SQLITE_OK);
    return *this;
  }
  Statement& bind(int at, const std::string& text) {
    check(sqlite3_bind_text64(statement_, at, text.data(), text.size(), SQLITE_TRANSIENT, SQLITE_UTF8) ==
          SQLITE_OK);
    return *this;
  }
  Statement& bind(int at, std::span<const std::byte> bytes) {  // which must live until step()
    check(sqlite3_bind_blob64(statement_, at, bytes.data(), bytes.size(), SQLITE_STATIC) == SQLITE_OK);
    return *this;
  }
  // Whether there is a row, or another one.
  bool step() {
    const int code = sqlite3_step(statement_);
    check(code == SQLITE_ROW || code == SQLITE_DONE);
    return code == SQLITE_ROW;
  }
  void reset() { sqlite3_reset(statement_); }

  int64_t number(int column) const { return sqlite3_column_int64(statement_, column); }
  std::span<const std::byte> bytes(int column) const {
    const void* data = sqlite3_column_blob(statement_, column);  // before its size is asked for
    return {static_cast<const std::byte*>(data),
            static_cast<size_t>(sqlite3_column_bytes(statement_, column))};
  }
  std::string text(int column) const {
    const auto all = bytes(column);
    return {reinterpret_cast<const char*>(all.data()), all.size()};
  }

 private:
  void check(bool good) const {
    if (!good) fail_with_reason(database_, path_);
  }
  sqlite3* database_;
  const std::string& path_;
  sqlite3_stmt* statement_ = nullptr;
};

// Finds every change of up to 8 bytes in a row, and nearly every other one: each step is a bijection of both
// the sum and the word.
class Checksum {
 public:
  // All calls but the last one take a multiple of 8 bytes.
  void add(std::span<const std::byte> bytes) {
    for (; !bytes.empty(); bytes = bytes.subspan(std::min(bytes.size(), sizeof(uint64_t)))) {
      uint64_t word = 0;
      std::memcpy(&word, bytes.data(), std::min(bytes.size(), sizeof word));
      sum_ = (sum_ ^ word) * 0x9e3779b97f4a7c15u;
      sum_ ^= sum_ >> 32;
    }
  }
  void add(int64_t value) { add(std::as_bytes(std::span(&value, 1))); }
  int64_t value() const { return static_cast<int64_t>(sum_); }

 private:
  uint64_t sum_ = 0;
};

int64_t checksum_of(const std::string& key, int64_t bytes, const Checksum& content) {
  Checksum all = content;
  all.add(bytes);
  all.add(std::as_bytes(std::span(key)));
  return all.value();
}

class PieceSink : public ByteSink {
 public:
  PieceSink(sqlite3* database, const std::string& path, int64_t record)
      : insert_(database, path, "INSERT INTO piece VALUES(?, ?)"), next_id_(record * kMostPieces) {
    piece_.reserve(kPieceBytes);
  }
  void write(std::span<const std::byte> bytes) override {
    while (!bytes.empty()) {
      const auto part = bytes.first(std::min(bytes.size(), kPieceBytes - piece_.size()));
      piece_.insert(piece_.end(), part.begin(), part.end());
      bytes = bytes.subspan(part.size());
      if (piece_.size() == kPieceBytes) flush();
    }
  }
  void flush() {
    if (piece_.empty()) return;
    insert_.bind(1, next_id_++).bind(2, std::span<const std::byte>(piece_)).step();
    insert_.reset();
    bytes_ += static_cast<int64_t>(piece_.size());
    checksum_.add(piece_);
    piece_.clear();
  }
  int64_t bytes() const { return bytes_; }  // flushed, as for the checksum
  const Checksum& checksum() const { return checksum_; }

 private:
  Statement insert_;
  int64_t next_id_;
  std::vector<std::byte> piece_;
  int64_t bytes_ = 0;
  Checksum checksum_;
};

class PieceSource : public ByteSource {
 public:
  PieceSource(sqlite3* database, const std::string& path, int64_t record, uint64_t bytes)
      : select_(database, path, "SELECT data FROM piece WHERE id >= ? AND id < ? ORDER BY id"), left_(bytes) {
    select_.bind(1, record * kMostPieces).bind(2, (record + 1) * kMostPieces);
  }
  void read(std::span<std::byte> bytes) override {
    if (bytes.size() > left_) fail("expected {} more bytes, found {}", bytes.size(), left_);
    left_ -= bytes.size();
    while (!bytes.empty()) {
      if (rest_.empty()) rest_ = next_piece();
      QSWEEP_CHECK(!rest_.empty(), "a record that was checked has lost {} bytes", bytes.size());
      const size_t n = std::min(bytes.size(), rest_.size());
      std::copy_n(rest_.begin(), n, bytes.begin());
      rest_ = rest_.subspan(n);
      bytes = bytes.subspan(n);
    }
  }
  uint64_t left() const override { return left_; }
  // The next piece whole; empty after the last one.
  std::span<const std::byte> next_piece() {
    return select_.step() ? select_.bytes(0) : std::span<const std::byte>();
  }

 private:
  Statement select_;
  uint64_t left_;
  std::span<const std::byte> rest_;
};

void execute(sqlite3* database, const std::string& path, const char* sql) {
  if (sqlite3_exec(database, sql, nullptr, nullptr, nullptr) != SQLITE_OK) fail_with_reason(database, path);
}

std::string value_of(sqlite3* database, const std::string& path, const char* sql) {
  Statement statement(database, path, sql);
  return statement.step() ? statement.text(0) : "";
}

using Members = std::map<std::string_view, const Json*>;

Members members_of(const Json& object) {
  Members members;
  for (const auto& member : object.items()) members[member.key()] = &member.value();
  return members;
}

// Adds the differences between two objects in words, those of nested ones with the keys above them.
void add_differences(const Json& then, const Json& now, const std::string& above,
                     std::vector<std::string>& found) {
  const Members before = members_of(then), after = members_of(now);
  const auto compare = [&](std::string_view key) {
    const auto was = before.find(key), is = after.find(key);
    const bool both = was != before.end() && is != after.end();
    if (both && *was->second == *is->second) return;
    const std::string name = above + std::string(key);
    if (both && was->second->is_object() && is->second->is_object())
      return add_differences(*was->second, *is->second, name + ": ", found);
    found.push_back(fmt::format("{} was {}, is now {}", name,
                                was == before.end() ? "none" : shortened(*was->second),
                                is == after.end() ? "none" : shortened(*is->second)));
  };
  for (const auto& member : then.items()) compare(member.key());
  for (const auto& member : now.items())
    if (!before.contains(member.key())) compare(member.key());
}

}  // namespace

void Journal::Close::operator()(sqlite3* database) const { sqlite3_close(database); }

// Takes the lock, which other processes see until the file is closed.
Journal::Journal(std::string path, int open_flags) : path_(std::move(path)) {
  constexpr int kMostBytesPerValue = 2 * kPieceBytes;  // so that a damaged length takes no memory
  sqlite3* opened = nullptr;
  const int code = sqlite3_open_v2(path_.c_str(), &opened, open_flags | SQLITE_OPEN_EXRESCODE, nullptr);
  database_.reset(opened);
  if (code != SQLITE_OK) fail_with_reason(opened, path_);
  sqlite3_limit(opened, SQLITE_LIMIT_LENGTH, kMostBytesPerValue);
  execute(opened, path_,
          "PRAGMA trusted_schema=OFF; PRAGMA cell_size_check=ON; PRAGMA secure_delete=OFF; PRAGMA "
          "temp_store=MEMORY;PRAGMA page_size=16384; PRAGMA synchronous=FULL; PRAGMA locking_mode=EXCLUSIVE; "
          "BEGIN EXCLUSIVE; COMMIT");
}

Journal Journal::create(const std::string& path, const Json& identity) {
  Journal journal(path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
  sqlite3* database = journal.database_.get();
  const bool is_new = value_of(database, path, kCountTables) == "0";
  if (!is_new && value_of(database, path, "PRAGMA application_id") != std::to_string(kApplicationId))
    fail_as_damaged(path, "another file");
  if (!is_new) {  // empties it, also where it is damaged
    sqlite3_db_config(database, SQLITE_DBCONFIG_RESET_DATABASE, 1, nullptr);
    execute(database, path, "VACUUM");
    sqlite3_db_config(database, SQLITE_DBCONFIG_RESET_DATABASE, 0, nullptr);
  }
  journal.identity_ = std::make_shared<const Json>(identity);
  journal.atomically([&] {
    execute(
        database, path,
        fmt::format("PRAGMA application_id={}; PRAGMA user_version={}; {}", kApplicationId, kVersion, kSchema)
            .c_str());
    journal.write(kIdentity, [&](ByteSink& to) { to.put(identity.dump()); });
  });
  return journal;
}

Journal Journal::reopen(const std::string& path) {
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored))
    fail("{}: expected the journal of an earlier run, found no file", path);
  Journal journal(path, SQLITE_OPEN_READWRITE);
  journal.check_everything();
  std::string identity;
  journal.read(kIdentity, [&](ByteSource& from) { identity = from.get<std::string>(); });
  journal.identity_ = std::make_shared<const Json>(parse_json(identity, path));
  return journal;
}

void Journal::check_everything() const {
  sqlite3* database = database_.get();
  const auto value = [&](const char* sql) { return value_of(database, path_, sql); };
  if (value(kCountTables) == "0") fail_as_damaged(path_, "an empty file");
  if (value("PRAGMA application_id") != std::to_string(kApplicationId))
    fail_as_damaged(path_, "another file");
  if (value("PRAGMA user_version") != std::to_string(kVersion) ||
      value("SELECT group_concat(sql, ';') FROM sqlite_schema") != kSchema)
    fail_as_damaged(path_, "that of another version");
  const std::string damage = value("PRAGMA quick_check(1)");
  if (damage != "ok") fail_as_damaged(path_, fmt::format("a damaged one ({})", damage));
  Statement records(database, path_, "SELECT id, key, bytes, checksum FROM record");
  bool has_identity = false;
  while (records.step()) {
    const std::string key = records.text(1);
    const int64_t bytes = records.number(2);
    PieceSource pieces(database, path_, records.number(0), 0);
    Checksum content;
    int64_t found = 0;
    for (auto piece = pieces.next_piece(); !piece.empty(); piece = pieces.next_piece()) {
      found += static_cast<int64_t>(piece.size());
      content.add(piece);
    }
    if (found != bytes || checksum_of(key, bytes, content) != records.number(3))
      fail_as_damaged(path_, fmt::format("a damaged one (record {})", shortened(key)));
    has_identity = has_identity || key == kIdentity;
  }
  if (!has_identity) fail_as_damaged(path_, "one without an identity");
}

void Journal::check_identity(const Json& now) const {
  constexpr size_t kShown = 8;
  std::vector<std::string> changed;
  add_differences(*identity_, now, "", changed);
  if (changed.empty()) return;
  const size_t more = changed.size() - std::min(changed.size(), kShown);
  changed.resize(changed.size() - more);
  fail("{}: expected the run that it was begun with, found another: {}{}", path_, fmt::join(changed, "; "),
       more > 0 ? fmt::format("; and {} more differences", more) : "");
}

int64_t Journal::find(const std::string& key) const {
  Statement select(database_.get(), path_, "SELECT id FROM record WHERE key = ?");
  return select.bind(1, key).step() ? select.number(0) : 0;
}

bool Journal::has(const std::string& key) const { return find(key) != 0; }

void Journal::write(const std::string& key, const Write& content) {
  atomically([&] {
    const int64_t old = find(key);
    // The old record goes last: its pages are then free for the next one, and need not be saved for this one.
    Statement(database_.get(), path_, "INSERT INTO record(key) VALUES(?)").bind(1, key).step();
    const int64_t record = sqlite3_last_insert_rowid(database_.get());
    PieceSink pieces(database_.get(), path_, record);
    content(pieces);
    pieces.flush();
    Statement(database_.get(), path_, "UPDATE record SET bytes = ?, checksum = ? WHERE id = ?")
        .bind(1, pieces.bytes())
        .bind(2, checksum_of(key, pieces.bytes(), pieces.checksum()))
        .bind(3, record)
        .step();
    if (old != 0) erase(old);
  });
}

bool Journal::read(const std::string& key, const Read& content) const {
  const int64_t record = find(key);
  if (record == 0) return false;
  Statement select(database_.get(), path_, "SELECT bytes FROM record WHERE id = ?");
  select.bind(1, record).step();
  PieceSource from(database_.get(), path_, record, static_cast<uint64_t>(select.number(0)));
  with_context(fmt::format("{}: record {}", path_, key), [&] {
    content(from);
    if (from.left() > 0) fail("expected an end, found {} more bytes", from.left());
  });
  return true;
}

void Journal::remove(const std::string& key) {
  if (const int64_t record = find(key); record != 0) atomically([&] { erase(record); });
}

void Journal::erase(int64_t record) {
  Statement(database_.get(), path_, "DELETE FROM piece WHERE id >= ? AND id < ?")
      .bind(1, record * kMostPieces)
      .bind(2, (record + 1) * kMostPieces)
      .step();
  Statement(database_.get(), path_, "DELETE FROM record WHERE id = ?").bind(1, record).step();
}

void Journal::atomically(const std::function<void()>& body) {
  sqlite3* database = database_.get();
  if (sqlite3_get_autocommit(database) == 0) return body();  // a part of the caller's change
  execute(database, path_, "BEGIN");
  try {
    body();
    execute(database, path_, "COMMIT");
  } catch (...) {
    sqlite3_exec(database, "ROLLBACK", nullptr, nullptr, nullptr);
    throw;
  }
}

void Journal::finish() {
  atomically([&] {
    execute(database_.get(), path_, "DELETE FROM piece; DELETE FROM record");
    write(kIdentity, [&](ByteSink& to) { to.put(identity_->dump()); });
    write(kFinished, [](ByteSink&) {});
  });
  if (std::filesystem::file_size(path_) > kPieceBytes)
    execute(database_.get(), path_, "VACUUM");  // gives space back
}

bool Journal::finished() const { return has(kFinished); }

}  // namespace qsweep::io
