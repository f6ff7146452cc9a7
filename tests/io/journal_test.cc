// The run journal: what it holds after a kill, a crash in the middle of a change, damage, and beside another
// process.
#include "io/journal.h"

#include <map>

#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/rng.h"
#include "io/json.h"
#include "test_files.h"

namespace qsweep::io {
namespace {

using ::testing::HasSubstr;

constexpr size_t kPiece = size_t{1} << 20;  // a record's rows hold so many bytes
const Json kIdentity = {{"format", {"w8a8"}}, {"threads", 2}};

std::vector<std::byte> random_bytes(size_t n, uint64_t seed) {
  Rng rng(seed);
  std::vector<std::byte> bytes(n);
  for (std::byte& b : bytes) b = static_cast<std::byte>(rng.next());
  return bytes;
}

void write(Journal& journal, const std::string& key, const std::vector<std::byte>& bytes) {
  journal.write(key, [&](ByteSink& to) { to.write(bytes); });
}

std::optional<std::vector<std::byte>> read(const Journal& journal, const std::string& key) {
  std::vector<std::byte> bytes;
  const auto all = [&](ByteSource& from) {
    bytes.resize(from.left());
    from.read(bytes);
  };
  if (!journal.read(key, all)) return {};
  return bytes;
}

class JournalTest : public ::testing::Test {
 protected:
  const TemporaryFolder folder;
  const std::string path = folder.path() + "/journal.sqlite";
};

TEST_F(JournalTest, RecordsOfAnySizeComeBack) {
  const size_t sizes[] = {0, 1, 8, kPiece - 1, kPiece, kPiece + 1, 3 * kPiece + 5};
  {
    Journal journal = Journal::create(path, kIdentity);
    for (const size_t size : sizes) write(journal, std::to_string(size), random_bytes(size, size));
    write(journal, "8", random_bytes(9, 0));  // replaced
    journal.remove("1");
  }
  const Journal journal = Journal::reopen(path);
  EXPECT_EQ(journal.identity(), kIdentity);
  EXPECT_FALSE(journal.finished());
  for (const size_t size : sizes) {
    auto expected = std::optional(size == 8 ? random_bytes(9, 0) : random_bytes(size, size));
    if (size == 1) expected.reset();
    EXPECT_TRUE(read(journal, std::to_string(size)) == expected) << size;
    EXPECT_EQ(journal.has(std::to_string(size)), expected.has_value());
  }
}

TEST_F(JournalTest, ValuesComeBackInTheirTypes) {
  Journal journal = Journal::create(path, kIdentity);
  const std::vector<double> doubles{0.1, -0.0, 1e-310};
  journal.write("values", [&](ByteSink& to) {
    to.put(std::string("text"));
    to.put(doubles);
    to.put(int64_t{-3});
  });
  journal.read("values", [&](ByteSource& from) {
    EXPECT_EQ(from.get<std::string>(), "text");
    const auto back = from.get<std::vector<double>>();
    EXPECT_EQ(std::memcmp(back.data(), doubles.data(), sizeof(double) * doubles.size()), 0);
    EXPECT_EQ(from.get<int64_t>(), -3);
  });
  const auto too_little = [&] { journal.read("values", [](ByteSource& from) { from.get<int64_t>(); }); };
  EXPECT_THAT(too_little, fails_with("record values: expected an end, found"));
  const auto too_much = [&] {
    journal.read("values", [](ByteSource& from) { from.get<std::array<std::byte, 100>>(); });
  };
  EXPECT_THAT(too_much, fails_with("record values: expected 100 more bytes, found"));
}

TEST_F(JournalTest, OneProcessAtATime) {
  const auto create = [&] { Journal::create(path, kIdentity); };
  const auto reopen = [&] { Journal::reopen(path); };
  {
    Journal journal = Journal::create(path, kIdentity);
    EXPECT_THAT(create, fails_with("another process is using it"));
    EXPECT_THAT(reopen, fails_with("another process is using it"));
    write(journal, "key", random_bytes(10, 1));
  }
  {
    const Journal journal = Journal::reopen(path);
    EXPECT_THAT(create, fails_with("another process is using it"));
    EXPECT_THAT(reopen, fails_with("another process is using it"));
  }
  EXPECT_TRUE(Journal::reopen(path).has("key"));
}

TEST_F(JournalTest, ANewRunStartsEmpty) {
  {
    Journal journal = Journal::create(path, {{"old", 1}});
    write(journal, "key", random_bytes(5 * kPiece, 1));
  }
  EXPECT_FALSE(Journal::create(path, kIdentity).has("key"));
  EXPECT_EQ(Journal::reopen(path).identity(), kIdentity);
  EXPECT_LE(std::filesystem::file_size(path), kPiece);
}

TEST_F(JournalTest, NothingToGoOnWith) {
  const auto reopen = [&] { Journal::reopen(path); };
  EXPECT_THAT(reopen, fails_with("journal.sqlite: expected the journal of an earlier run, found no file"));
  folder.write("journal.sqlite", "");
  EXPECT_THAT(reopen, fails_with("found an empty file"));
  EXPECT_NO_THROW(Journal::create(path, kIdentity));
}

TEST_F(JournalTest, ForeignFilesAreLeftAlone) {
  const std::string text = folder.write("text", std::string(5000, 'x'));
  const std::string other = folder.path() + "/other";
  sqlite3* database = nullptr;
  ASSERT_EQ(sqlite3_open(other.c_str(), &database), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(database, "CREATE TABLE t(x)", nullptr, nullptr, nullptr), SQLITE_OK);
  sqlite3_close(database);
  for (const std::string& file : {text, other}) {
    const std::string before = read_text(file);
    EXPECT_THAT([&] { Journal::create(file, kIdentity); }, fails_with("expected a run journal, found"));
    EXPECT_THAT([&] { Journal::reopen(file); }, fails_with("expected a run journal, found"));
    EXPECT_EQ(read_text(file), before);
  }
}

TEST_F(JournalTest, DifferencesAreNamed) {
  const Journal journal = Journal::create(path, kIdentity);
  EXPECT_NO_THROW(journal.check_identity(kIdentity));
  const auto check = [&] { journal.check_identity({{"format", {"w8a8", "nvfp4"}}, {"isa", "avx2"}}); };
  EXPECT_THAT(
      check,
      fails_with("journal.sqlite: expected the run that it was begun with, found another: format was "
                 "[\"w8a8\"], is now [\"w8a8\",\"nvfp4\"]; threads was 2, is now none; isa was none, is "
                 "now \"avx2\""));
}

TEST_F(JournalTest, AChangeIsWholeOrNothing) {
  Journal journal = Journal::create(path, kIdentity);
  write(journal, "a", random_bytes(10, 1));
  const auto broken = [&] {
    journal.atomically([&] {
      journal.remove("a");
      write(journal, "b", random_bytes(10, 2));
      fail("no more");
    });
  };
  EXPECT_THAT(broken, fails_with("no more"));
  EXPECT_TRUE(journal.has("a"));
  EXPECT_FALSE(journal.has("b"));
}

TEST_F(JournalTest, AKillLeavesTheLastWholeChange) {
  const auto old_value = random_bytes(3 * kPiece, 1);
  const pid_t child = fork();
  if (child == 0) {
    Journal journal = Journal::create(path, kIdentity);
    write(journal, "key", old_value);
    journal.write("key", [&](ByteSink& to) {
      to.write(random_bytes(8 * kPiece, 2));  // more than SQLite keeps in memory
      kill(getpid(), SIGKILL);
    });
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
  const Journal journal = Journal::reopen(path);
  EXPECT_TRUE(read(journal, "key") == old_value);
}

TEST_F(JournalTest, AFinishedOneIsSmall) {
  {
    Journal journal = Journal::create(path, kIdentity);
    write(journal, "key", random_bytes(3 * kPiece, 1));
    journal.finish();
  }
  EXPECT_LE(std::filesystem::file_size(path), kPiece);
  EXPECT_EQ(folder.entries(), 1);
  const Journal journal = Journal::reopen(path);
  EXPECT_TRUE(journal.finished());
  EXPECT_FALSE(journal.has("key"));
  EXPECT_NO_THROW(journal.check_identity(kIdentity));
}

// Cut or changed anywhere, a journal is refused or still holds what was written.
TEST_F(JournalTest, DamageIsFound) {
  std::map<std::string, std::vector<std::byte>> records;
  for (int i = 0; i < 4; ++i) records[fmt::format("pass/{}", i)] = random_bytes(size_t{5000} << (2 * i), i);
  {
    Journal journal = Journal::create(path, kIdentity);
    for (const auto& [key, bytes] : records) write(journal, key, bytes);
    write(journal, "state", random_bytes(40000, 9));
    journal.remove("state");  // leaves free pages
  }
  const std::string whole = read_text(path);
  int refused = 0;
  const auto expect_no_lie = [&](const std::string& content, const std::string& damage) {
    folder.write("journal.sqlite", content);
    try {
      const Journal journal = Journal::reopen(path);
      EXPECT_EQ(journal.identity(), kIdentity) << damage;
      for (const auto& [key, bytes] : records)
        EXPECT_TRUE(read(journal, key) == bytes) << damage << ", " << key;
    } catch (const Error& e) {
      EXPECT_THAT(e.what(), HasSubstr("journal.sqlite: ")) << damage;
      ++refused;
    }
  };
  Rng rng(1);
  for (int i = 0; i < 40; ++i) {
    const size_t size = i == 0 ? whole.size() - 1 : rng.below(whole.size());
    expect_no_lie(whole.substr(0, size), fmt::format("cut to {} bytes", size));
  }
  EXPECT_GE(refused, 30);  // a cut in free pages at the end loses nothing
  for (int i = 0; i < 300; ++i) {
    std::string content = whole;
    // Half of them in the first pages, where the tables' own structure is.
    const size_t at = rng.below(i % 2 == 0 ? whole.size() : size_t{4} << 14);
    content[at] = static_cast<char>(content[at] ^ static_cast<char>(1 + rng.below(255)));
    expect_no_lie(content, fmt::format("byte {} is {}", at, static_cast<int>(content[at])));
  }
  EXPECT_GE(refused, 30 + 100);
  std::printf("%d of 340 refused\n", refused);
}

}  // namespace
}  // namespace qsweep::io
