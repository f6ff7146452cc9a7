# Sourced before tests run under a sanitizer. The suppression files say why each entry is there.
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
export ASAN_OPTIONS="detect_leaks=1:strict_string_checks=1:detect_stack_use_after_return=1:check_initialization_order=1"
export UBSAN_OPTIONS="print_stacktrace=1"
export TSAN_OPTIONS="suppressions='$here/tsan-suppressions.txt':second_deadlock_stack=1"
