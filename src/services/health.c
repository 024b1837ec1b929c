// SPDX-License-Identifier: Apache-2.0
/* grpc.health.v1 as grpc-go's stock server answers it: the server as a whole is known, and serving
 * from the moment it listens. */
#include "proto/health.pb-c.h"
#include "services/convert.h"
#include "services/services.h"

static struct err *health_handle_check(struct rpc_call *call, void *impl)
{
	const Health__HealthCheckRequest *req = rpc_request(call);
	Health__HealthCheckResponse reply = HEALTH__HEALTH_CHECK_RESPONSE__INIT;

	if (!str_empty(req->service))
		return err_new(ERR_NOT_FOUND, "unknown service");
	reply.status = HEALTH__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING;
	return rpc_reply(call, &reply);
}

static struct err *health_handle_list(struct rpc_call *call, void *impl)
{
	Health__HealthListResponse reply = HEALTH__HEALTH_LIST_RESPONSE__INIT;
	Health__HealthCheckResponse serving = HEALTH__HEALTH_CHECK_RESPONSE__INIT;
	Health__HealthListResponse__StatusesEntry entry =
		HEALTH__HEALTH_LIST_RESPONSE__STATUSES_ENTRY__INIT;
	Health__HealthListResponse__StatusesEntry *entries[] = {&entry};

	serving.status = HEALTH__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING;
	entry.value = &serving;
	reply.n_statuses = 1;
	reply.statuses = entries;
	return rpc_reply(call, &reply);
}

static void watch_cancelled(struct rpc_call *call, void *arg)
{
	rpc_finish(call, cancel_check(rpc_cancel(call)));
}

/* One answer, and a further one only if it changed, which it does not while we serve. */
static struct err *health_handle_watch(struct rpc_call *call, void *impl)
{
	const Health__HealthCheckRequest *req = rpc_request(call);
	Health__HealthCheckResponse reply = HEALTH__HEALTH_CHECK_RESPONSE__INIT;

	reply.status = str_empty(req->service)
			       ? HEALTH__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING
			       : HEALTH__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVICE_UNKNOWN;
	TRY(rpc_send(call, &reply));
	rpc_park(call, watch_cancelled, NULL);
	return NULL;
}

static const struct rpc_method methods[] = {
	{"Check", RPC_UNARY, LANE_RESERVED, &health__health_check_request__descriptor,
		&health__health_check_response__descriptor, health_handle_check},
	{"List", RPC_UNARY, LANE_RESERVED, &health__health_list_request__descriptor,
		&health__health_list_response__descriptor, health_handle_list},
	{"Watch", RPC_SERVER_STREAM, LANE_NORMAL, &health__health_check_request__descriptor,
		&health__health_check_response__descriptor, health_handle_watch},
};

const struct rpc_service health_service = {"grpc.health.v1.Health", methods, ARRAY_LEN(methods)};
