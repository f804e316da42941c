/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Open addressing with linear probing, at most three quarters full. */

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "work/inode_map.h"

#define PLACES_MIN 64

/* Inode numbers come in runs of 64: the multiplication (2^64 divided by the golden ratio) and the upper half of its
 * result spread them. */
static size_t place_of(const InodeMap *map, uint64_t inode, uint32_t subvolume)
{
        size_t at = (size_t)(((inode + ((uint64_t)subvolume << 40)) * UINT64_C(0x9e3779b97f4a7c15)) >> 32) &
                    (map->n_places - 1);

        while (map->places[at].inode != 0 &&
               (map->places[at].inode != inode || map->places[at].subvolume != subvolume))
                at = (at + 1) & (map->n_places - 1);
        return at;
}

static int make_room(InodeMap *map)
{
        InodeMap larger = {.n_places = map->n_places ? 2 * map->n_places : PLACES_MIN,
                           .n_used = map->n_used};

        if (4 * (map->n_used + 1) <= 3 * map->n_places)
                return 0;
        larger.places = calloc(larger.n_places, sizeof(*larger.places));
        if (!larger.places)
                return -ENOMEM;
        for (size_t i = 0; i < map->n_places; i++)
                if (map->places[i].inode != 0)
                        larger.places[place_of(&larger, map->places[i].inode, map->places[i].subvolume)] =
                                map->places[i];
        free(map->places);
        *map = larger;
        return 0;
}

int inode_map_add(InodeMap *map, FileId id, uint32_t value)
{
        size_t at;
        int r;

        assert(id.inode != 0);
        r = make_room(map);
        if (r < 0)
                return r;
        at = place_of(map, id.inode, id.subvolume);
        if (map->places[at].inode != 0)
                return 0;
        map->places[at] = (InodePlace){.inode = id.inode, .subvolume = id.subvolume, .value = value};
        map->n_used++;
        return 1;
}

bool inode_map_find(const InodeMap *map, FileId id, uint32_t *ret_value)
{
        size_t at;

        if (map->n_used == 0 || id.inode == 0)
                return false;
        at = place_of(map, id.inode, id.subvolume);
        if (map->places[at].inode == 0)
                return false;
        *ret_value = map->places[at].value;
        return true;
}

void inode_map_done(InodeMap *map)
{
        free(map->places);
        *map = (InodeMap){0};
}
