// SPDX-License-Identifier: Apache-2.0
#include "sandbox/controller.h"

#include "base/alloc.h"

void sandbox_instance_done(struct sandbox_instance *i)
{
	any_done(&i->spec);
	free(i->address);
	*i = (struct sandbox_instance){0};
}

void sandbox_status_done(struct sandbox_status *s)
{
	free(s->state);
	strmap_done(&s->info);
	any_done(&s->extra);
	free(s->address);
	*s = (struct sandbox_status){0};
}

void sandbox_metric_done(struct sandbox_metric *m)
{
	free(m->id);
	any_done(&m->data);
	*m = (struct sandbox_metric){0};
}

struct err *controller_create(
	struct sandbox_controller *c, const struct sandbox_create *request, struct cancel *cancel)
{
	return c->ops->create(c, request, cancel);
}

struct err *controller_start(struct sandbox_controller *c, const char *ns, const char *id,
	struct cancel *cancel, struct sandbox_instance *ret)
{
	return c->ops->start(c, ns, id, cancel, ret);
}

struct err *controller_platform(struct sandbox_controller *c, const char *ns, const char *id,
	struct cancel *cancel, struct platform *ret)
{
	return c->ops->platform(c, ns, id, cancel, ret);
}

struct err *controller_stop(struct sandbox_controller *c, const char *ns, const char *id,
	uint32_t timeout_s, struct cancel *cancel)
{
	return c->ops->stop(c, ns, id, timeout_s, cancel);
}

struct sandbox_wait *controller_wait(struct sandbox_controller *c, const char *ns, const char *id,
	sandbox_wait_fn done, void *arg)
{
	return c->ops->wait(c, ns, id, done, arg);
}

void controller_forget(struct sandbox_controller *c, struct sandbox_wait *w)
{
	c->ops->forget(c, w);
}

struct err *controller_status(struct sandbox_controller *c, const char *ns, const char *id,
	bool verbose, struct cancel *cancel, struct sandbox_status *ret)
{
	return c->ops->status(c, ns, id, verbose, cancel, ret);
}

struct err *controller_shutdown(
	struct sandbox_controller *c, const char *ns, const char *id, struct cancel *cancel)
{
	return c->ops->shutdown(c, ns, id, cancel);
}

struct err *controller_metrics(struct sandbox_controller *c, const char *ns, const char *id,
	struct cancel *cancel, struct sandbox_metric *ret)
{
	return c->ops->metrics(c, ns, id, cancel, ret);
}

struct err *controller_update(struct sandbox_controller *c, const char *ns, const char *id,
	const struct sandbox *sandbox, char *const *fields, size_t n_fields, struct cancel *cancel)
{
	return c->ops->update(c, ns, id, sandbox, fields, n_fields, cancel);
}
