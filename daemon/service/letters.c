/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Letters own what they carry, so that one that nobody wants any more can be thrown away whole. */

#include <stdlib.h>

#include "base/cleanup.h"
#include "service/letters.h"

static void inventory_free(Inventory *inventory)
{
        if (inventory)
                inventory_done(inventory);
        free(inventory);
}

static ReplyType answer_of(RequestType type)
{
        switch (type) {
        case REQUEST_ADD:
                return REPLY_ADDED;
        case REQUEST_LOOK:
                return REPLY_LOOKED;
        case REQUEST_SWEEP:
                return REPLY_SWEPT;
        case REQUEST_MOVE:
                return REPLY_MOVED;
        case REQUEST_STOP:
        case REQUEST_DROP: /* has none */
                break;
        }
        return REPLY_ENDED;
}

Request *request_new(RequestType type, uint64_t volume)
{
        Request *request = calloc(1, sizeof(*request));

        if (!request)
                return NULL;
        request->type = type;
        request->volume = volume;
        request->group_fd = -EBADF;
        if (type == REQUEST_DROP)
                return request;
        request->reply = reply_new(answer_of(type), volume);
        return request->reply ? request : request_free(request);
}

Request *request_free(Request *request)
{
        if (!request)
                return NULL;
        shared_config_unref(request->config);
        shared_table_unref(request->table);
        stop_list_done(&request->stops);
        free(request->candidate.path);
        inventory_free(request->inventory);
        reply_free(request->reply);
        free(request);
        return NULL;
}

Reply *reply_new(ReplyType type, uint64_t volume)
{
        Reply *reply = calloc(1, sizeof(*reply));

        if (!reply)
                return NULL;
        reply->type = type;
        reply->volume = volume;
        return reply;
}

Reply *reply_free(Reply *reply)
{
        if (!reply)
                return NULL;
        free(reply->candidate.path);
        inventory_free(reply->inventory);
        if (reply->ledger)
                ledger_done(reply->ledger);
        free(reply->ledger);
        free(reply->text);
        stop_list_done(&reply->stops);
        if (reply->config)
                config_done(reply->config);
        free(reply->config);
        free(reply);
        return NULL;
}
