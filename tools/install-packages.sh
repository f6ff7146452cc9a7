#!/usr/bin/env bash
# Installs the packages of the named sets (tools/packages.txt) that are missing:
#   tools/install-packages.sh build [test] [bench] [check]
# Says nothing and calls nothing when everything is there.
set -euo pipefail
cd "$(dirname "$0")/.."
table=tools/packages.txt

say() { echo "install-packages: $*" >&2; }

# Node.js has other packages too, which bring npm with them and refuse Debian's own.
there_already() {
  case $1 in
  nodejs) command -v node >/dev/null ;;
  npm) command -v npm >/dev/null ;;
  *) return 1 ;;
  esac
}

# stdin: rows "package tested-version". Prints those not installed.
missing() {
  awk '{ print $1 }' | while read -r package; do
    grep -q "^$package " <<<"$installed" || there_already "$package" || echo "$package"
  done
}

read_installed() {
  installed=$(dpkg-query --show --showformat='${Package} ${db:Status-Status} ${Version}\n' "$@" 2>/dev/null |
    awk '$2 == "installed" { sub(/^[0-9]+:/, "", $3); print $1, $3 }' || true)
}

# Sets `root` to what runs a command as root here, or fails with the line to type.
find_root() {
  root=()
  [ "$(id -u)" != 0 ] || return 0
  if command -v sudo >/dev/null && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
    root=(sudo)
  else
    say "packages are missing and installing them needs root. Run:"
    say "  sudo apt-get update && sudo apt-get install --no-install-recommends $*"
    return 1
  fi
}

quietly() {
  local log
  log=$(mktemp)
  if ! "$@" >"$log" 2>&1 </dev/null; then
    cat "$log" >&2
    rm -f "$log"
    say "failed: $*"
    return 1
  fi
  rm -f "$log"
}

install() {
  [ $# -gt 0 ] || return 0
  find_root "$@"
  say "installing $*"
  local apt=("${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300)
  quietly "${apt[@]}" update || say "going on with the package lists that are here"
  quietly "${apt[@]}" install --no-install-recommends --yes "$@"
}

# Clang's sanitizer and fuzzer runtimes are a package named after clang's version; before 14 they are part of clang.
install_clang_runtime() {
  local major package
  major=$(dpkg-query --show --showformat='${Depends}' clang | grep -oPm1 '\bclang-\K[0-9]+')
  package=libclang-rt-$major-dev
  read_installed "$package"
  if [ -z "$installed" ] && apt-cache show "$package" >/dev/null 2>&1; then install "$package"; fi
}

# A browser for the tests of report.html, which are left out without one: Ubuntu has none as a package.
install_browser() {
  command -v chromium chromium-browser google-chrome >/dev/null && return
  if apt-cache show chromium >/dev/null 2>&1; then
    install chromium || say "going on without a browser: the tests of report.html in one are left out"
  else
    say "no package has chromium here: the tests of report.html in a browser are left out"
  fi
}

warn_of_other_versions() {
  local package tested version others=""
  while read -r package tested; do
    version=$(awk -v package="$package" '$1 == package { print $2 }' <<<"$installed")
    [ -z "$version" ] || [[ "$version" =~ ^"$tested"([^0-9]|$) ]] || others+="${others:+, }$package $version (tested: $tested)"
  done
  [ -z "$others" ] || say "note: other versions than the tested ones: $others"
}

[ $# -gt 0 ] || { say "usage: tools/install-packages.sh SET...  (the sets are in $table)"; exit 2; }
rows=""
for set in "$@"; do
  found=$(awk -v set="$set" '$1 == set { print $2, $3 }' "$table")
  [ -n "$found" ] || { say "no set '$set' in $table"; exit 2; }
  rows+="${rows:+$'\n'}$found"
done
mapfile -t packages < <(awk '{ print $1 }' <<<"$rows")

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
  say "not a Debian or Ubuntu system: going on with what is installed. Needed: ${packages[*]}"
  exit 0
fi

read_installed "${packages[@]}"
mapfile -t needed < <(missing <<<"$rows")
install "${needed[@]}"
[ ${#needed[@]} = 0 ] || read_installed "${packages[@]}"
warn_of_other_versions <<<"$rows"
if [[ " $* " == *" check "* ]]; then install_clang_runtime; fi
if [[ " $* " == *" test "* ]]; then install_browser; fi
