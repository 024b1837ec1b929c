// SPDX-License-Identifier: Apache-2.0
#include "ctr/foreground.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/alloc.h"

/* Ours to handle, or of no use to another process. */
static const int kept[] = {SIGCHLD, SIGPIPE, SIGURG, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT,
	SIGTRAP, SIGSYS, SIGKILL, SIGSTOP};

static struct err *watch_signals(struct foreground *f, bool tty)
{
	sigset_t set;

	sigfillset(&set);
	for (size_t i = 0; i < ARRAY_LEN(kept); i++)
		sigdelset(&set, kept[i]);
	/* A raw terminal makes no signals; job control would only confuse. */
	if (tty) {
		sigdelset(&set, SIGTTOU);
		sigdelset(&set, SIGTTIN);
		sigdelset(&set, SIGCONT);
	}
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return err_sys(errno, "sigprocmask");
	f->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return f->signals < 0 ? err_sys(errno, "signalfd") : NULL;
}

struct err *foreground_init(struct foreground *f, bool tty)
{
	static const int fds[] = {STDERR_FILENO, STDOUT_FILENO, STDIN_FILENO};

	TRY(watch_signals(f, tty));
	if (!tty)
		return NULL;
	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		if (tcgetattr(fds[i], &f->saved) == 0) {
			f->tty = fds[i];
			return NULL;
		}
	}
	return err_new(ERR_PRECONDITION, "provided file is not a console: a terminal for the "
					 "container needs one here, leave out --tty");
}

struct err *foreground_raw(struct foreground *f)
{
	struct termios raw = f->saved;

	if (f->tty < 0)
		return NULL;
	cfmakeraw(&raw);
	raw.c_oflag |= OPOST;
	return tcsetattr(f->tty, TCSANOW, &raw) < 0 ? err_sys(errno, "set terminal to raw mode")
						    : NULL;
}

void foreground_done(struct foreground *f)
{
	if (f->tty >= 0)
		tcsetattr(f->tty, TCSANOW, &f->saved);
	if (f->signals >= 0)
		close(f->signals);
	*f = FOREGROUND_INIT;
}

void foreground_streams(const struct foreground *f, struct ctd_io_options *io)
{
	io->stdin_fd = f->tty >= 0 ? f->tty : STDIN_FILENO;
	io->stdout_fd = f->tty >= 0 ? f->tty : STDOUT_FILENO;
	io->stderr_fd = f->tty >= 0 ? -1 : STDERR_FILENO;
	io->terminal = f->tty >= 0;
}

static void resize(struct foreground *f, struct ctd_process *p)
{
	struct winsize size;

	if (ioctl(f->tty, TIOCGWINSZ, &size) < 0)
		return;
	autoptr(err) e = from_ctd(ctd_process_resize(p, size.ws_col, size.ws_row));
	if (e && !err_is(e, ERR_NOT_FOUND))
		log_error("resize pty", "error", err_message(e));
}

/* With a terminal, its driver sends the container what the user types; a signal to this program is
 * meant for this program. */
static void take_signal(struct foreground *f, struct ctd_process *p, uint32_t number)
{
	if (f->tty >= 0 && number == SIGWINCH) {
		resize(f, p);
		return;
	}
	if (f->tty >= 0) {
		sigset_t set;

		foreground_done(f);
		signal((int)number, SIG_DFL);
		sigemptyset(&set);
		sigaddset(&set, (int)number);
		raise((int)number);
		sigprocmask(SIG_UNBLOCK, &set, NULL);
		return;
	}
	autoptr(err) e = from_ctd(ctd_process_kill(p, number));
	if (e && !err_is(e, ERR_NOT_FOUND))
		log_error("forward signal", "signal", strsignal((int)number), "error",
			err_message(e));
}

struct err *foreground_wait(struct foreground *f, struct ctd_process *p, uint32_t *ret_status)
{
	struct pollfd polls[] = {
		{.fd = ctd_process_exit_fd(p), .events = POLLIN},
		{.fd = f->signals, .events = POLLIN},
	};

	if (f->tty >= 0)
		resize(f, p);
	while (!polls[0].revents) {
		struct signalfd_siginfo info;

		if (poll(polls, ARRAY_LEN(polls), -1) < 0 && errno != EINTR)
			return err_sys(errno, "poll");
		if (polls[1].revents && read(f->signals, &info, sizeof(info)) == sizeof(info))
			take_signal(f, p, info.ssi_signo);
	}
	return from_ctd(ctd_process_wait(p, ret_status));
}

struct err *signal_parse(const char *text, int *ret)
{
	char *end;
	long number = strtol(text, &end, 10);

	if (*text && !*end) {
		if (number < 1 || number > SIGRTMAX)
			return err_new(ERR_INVALID, "invalid signal: %s", text);
		*ret = (int)number;
		return NULL;
	}
	const char *name = strncasecmp(text, "SIG", 3) == 0 ? text + 3 : text;
	for (int i = 1; i < SIGRTMIN; i++) {
		const char *known = sigabbrev_np(i);

		if (known && strcasecmp(known, name) == 0) {
			*ret = i;
			return NULL;
		}
	}
	if (strncasecmp(name, "RTMIN", 5) == 0) {
		number = strtol(name + 5, &end, 10);
		if (!*end && number >= 0 && SIGRTMIN + number <= SIGRTMAX) {
			*ret = SIGRTMIN + (int)number;
			return NULL;
		}
	}
	return err_new(ERR_INVALID, "unknown signal \"%s\"", text);
}
