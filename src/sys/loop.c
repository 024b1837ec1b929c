// SPDX-License-Identifier: Apache-2.0
#include "sys/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"

#define ATTEMPTS 100 /* others take the free device that we were told of */
#define PAUSE_MAX_NS 10000000

/* True when the device was somebody else's by now. */
static struct err *configure(
	int device_fd, const char *device, int file_fd, const struct loop_config *c, bool *ret_lost)
{
	struct loop_config config = *c;

	config.fd = (uint32_t)file_fd;
	*ret_lost = false;
	if (ioctl(device_fd, LOOP_CONFIGURE, &config) == 0)
		return NULL;
	*ret_lost = errno == EBUSY;
	return *ret_lost ? NULL : err_sys(errno, "configure %s", device);
}

static struct err *attach_to_free(int control, int file_fd, int mode, const struct loop_config *c,
	int *ret, char **ret_device)
{
	int number = ioctl(control, LOOP_CTL_GET_FREE);
	autofree char *device = xasprintf("/dev/loop%d", number);
	autofd fd = -1;
	bool lost;

	if (number < 0)
		return err_sys(errno, "find a free loop device");
	fd = open(device, mode | O_CLOEXEC);
	if (fd < 0)
		return err_sys(errno, "open %s", device);
	TRY(configure(fd, device, file_fd, c, &lost));
	if (!lost) {
		*ret = TAKE_FD(fd);
		*ret_device = TAKE(device);
	}
	return NULL;
}

struct err *loop_attach(
	const char *file, const struct loop_options *options, int *ret_fd, char **ret_device)
{
	int mode = options->is_readonly ? O_RDONLY : O_RDWR;
	struct loop_config config = {.info.lo_flags = LO_FLAGS_AUTOCLEAR};
	autofd file_fd = open(file, mode | O_CLOEXEC);
	autofd control = -1;

	if (file_fd < 0)
		return err_sys(errno, "loop device of %s", file);
	control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	if (control < 0)
		return err_sys(errno, "open /dev/loop-control");
	if (options->is_readonly)
		config.info.lo_flags |= LO_FLAGS_READ_ONLY;
	if (options->is_direct)
		config.info.lo_flags |= LO_FLAGS_DIRECT_IO;
	snprintf((char *)config.info.lo_file_name, LO_NAME_SIZE, "%s", file);
	*ret_fd = -1;
	for (int i = 1; i <= ATTEMPTS; i++) {
		struct timespec pause = {.tv_nsec = MIN(i * 100000, PAUSE_MAX_NS)};

		TRY(err_wrap(attach_to_free(control, file_fd, mode, &config, ret_fd, ret_device),
			"loop device of %s", file));
		if (*ret_fd >= 0)
			return NULL;
		nanosleep(&pause, NULL);
	}
	return err_new(ERR_EXHAUSTED, "loop device of %s: none stays free", file);
}
