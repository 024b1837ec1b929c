// SPDX-License-Identifier: Apache-2.0
#include "ctr/ctr.h"

#include <containerd/events.h>

static struct err *follow(struct ctd_subscription *s)
{
	for (;;) {
		auto_record struct ctd_event *event = NULL;
		char time[TIME_TEXT];

		CALL(ctd_subscription_next(s, &event));
		format_time_go(event->timestamp, time);
		printf("%s %s %s %s\n", time, event->namespace_name, event->topic, event->json);
		if (fflush(stdout) != 0)
			return NULL;
	}
}

static struct err *run_events(struct invocation *in)
{
	auto_client *client = NULL;
	struct ctd_subscription *s;

	TRY(connect_client(in, &client));
	CALL(ctd_subscribe(client, names_from(in, 0), arg_count(in), &s));
	struct err *e = follow(s);
	ctd_unsubscribe(s);
	return e;
}

const struct command events_command = {
	.name = "events",
	.aliases = "event",
	.usage = "display containerd events",
	.args = "[<filter>, ...]",
	.run = run_events,
};
