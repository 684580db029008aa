// Preloaded into the programs of the test machine: one that a fatal signal ends first has gdb write where
// each of its threads is, to /run/crashes/PID. The machine's kernel writes no cores (CONFIG_COREDUMP), and a
// core would end with the machine.
//
// As with a core, RLIMIT_CORE decides whether there is one: `ulimit -c 0` for a program that crashes on
// purpose.

#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

namespace {

constexpr int kFatal[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};

bool IsFatal(int signal) {
  for (const int fatal : kFatal) {
    if (signal == fatal) return true;
  }
  return false;
}

using Sigaction = int (*)(int, const struct sigaction*, struct sigaction*);

Sigaction RealSigaction() {
  static const auto real = reinterpret_cast<Sigaction>(dlsym(RTLD_NEXT, "sigaction"));
  return real;
}

// Not all that is called here may be called in a handler of signals. The process is lost already; in the
// worst case there is no backtrace.
void Tell(int signal) {
  struct sigaction usual = {};
  usual.sa_handler = SIG_DFL;
  RealSigaction()(signal, &usual, nullptr);
  char pid[16];
  char path[64];
  std::snprintf(pid, sizeof(pid), "%d", getpid());
  std::snprintf(path, sizeof(path), "/run/crashes/%s", pid);
  const pid_t child = fork();
  if (child == 0) {
    const int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    dup2(file, STDOUT_FILENO);
    dup2(file, STDERR_FILENO);
    dprintf(file, "signal %d\n", signal);
    unsetenv("LD_PRELOAD");
    execlp("timeout", "timeout", "120", "gdb", "-nx", "-batch", "-iex", "set debuginfod enabled off", "-ex",
           "thread apply all backtrace", "-p", pid, static_cast<char*>(nullptr));
    _exit(1);
  }
  if (child > 0) waitpid(child, nullptr, 0);
  raise(signal);  // and now as usual, once this handler has returned
}

__attribute__((constructor)) void Install() {
  rlimit core = {};
  if (getrlimit(RLIMIT_CORE, &core) != 0 || core.rlim_cur == 0) return;
  struct sigaction action = {};
  action.sa_handler = Tell;
  for (const int signal : kFatal) RealSigaction()(signal, &action, nullptr);
}

}  // namespace

// Node.js sets all signals back when it starts, and takes SIGSEGV for WebAssembly. Here the fatal ones stay
// as they are.
extern "C" int sigaction(int signal, const struct sigaction* action, struct sigaction* old) {
  return RealSigaction()(signal, IsFatal(signal) ? nullptr : action, old);
}
