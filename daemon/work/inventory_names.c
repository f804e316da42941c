/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Every directory of the volume is opened by its identity, in the order of the inodes, and its entries are held against the items.
 * Nothing is looked up: an entry has the number of its inode with it. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "work/inventory_names.h"
#include "work/lookup.h"
#include "work/naming.h"

/* About a thousand entries: a chunk takes well under a millisecond when it is cached. */
#define CHUNK_BYTES 32768

typedef struct NamesPass {
        Inventory *inventory;
        const FsVolume *volume;
        const VolumeConfig *config;
        int root_fd;
        uint64_t deadline_usec;
        const atomic_bool *cancel;

        /* One batch of inodes. */
        FileId *directories; /* owned */
        size_t n_directories, n_room;

        /* The directory that is being read. */
        FileId directory;
        int dir_fd;
        char path[PATH_MAX]; /* empty until it is asked for */
} NamesPass;

static void pass_done(NamesPass *pass)
{
        free(pass->directories);
        (void)fd_close(pass->dir_fd);
}

static int on_inode(const InodeFacts *inode, void *userdata)
{
        NamesPass *pass = userdata;
        FileId *grown;

        if (!S_ISDIR(inode->mode))
                return 0;
        if (pass->n_directories == pass->n_room) {
                const size_t n_room = pass->n_room == 0 ? 256 : 2 * pass->n_room;

                grown = reallocarray(pass->directories, n_room, sizeof(*grown));
                if (!grown)
                        return -ENOMEM;
                pass->directories = grown;
                pass->n_room = n_room;
        }
        pass->directories[pass->n_directories++] = inode->id;
        return 0;
}

static int order_by_inode(const void *key, const void *member)
{
        const FileId *id = key;
        const InventoryItem *item = member;

        return file_id_same_inode(*id, item->candidate.id) ? 0 : file_id_order(*id, item->candidate.id);
}

/* One of the names of an item. */
static int on_name(NamesPass *pass, InventoryItem *item, const char *name)
{
        _cleanup_free_ char *path = NULL;
        int excluded, r;

        if (pass->path[0] == '\0') {
                r = name_of_directory(pass->volume, pass->root_fd, pass->directory, pass->dir_fd,
                                      pass->path);
                if (r < 0) {
                        pass->path[0] = '\0';
                        /* Removed meanwhile: then the name is gone, too. */
                        if (r != -ENOENT)
                                pass->inventory->any_unreadable = true;
                        return 0;
                }
        }
        if (asprintf(&path, "%s%s%s", pass->path, strcmp(pass->path, "/") == 0 ? "" : "/", name) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        excluded = naming_is_excluded(pass->config, path);
        if (excluded < 0)
                return excluded;
        item->excluded = item->excluded || excluded;
        if (item->name)
                return 0;
        item->name = strdup(name);
        if (!item->name)
                return -ENOMEM;
        free(item->candidate.path);
        item->candidate.path = TAKE_PTR(path);
        item->candidate.parent = pass->directory;
        return 0;
}

static int on_entry(NamesPass *pass, const struct dirent64 *entry)
{
        Inventory *inventory = pass->inventory;
        const InventoryItem *end = inventory->items + inventory->n_items;
        const FileId id = {.inode = entry->d_ino, .subvolume = pass->directory.subvolume};
        InventoryItem *item;
        int r = 0;

        if (entry->d_type != DT_REG && entry->d_type != DT_UNKNOWN)
                return 0;
        item = bsearch(&id, inventory->items, inventory->n_items, sizeof(*item), order_by_inode);
        if (!item)
                return 0;
        /* An entry does not say of which generation it is. */
        while (item > inventory->items && file_id_same_inode(item[-1].candidate.id, id))
                item--;
        for (; r == 0 && item < end && file_id_same_inode(item->candidate.id, id); item++)
                r = on_name(pass, item, entry->d_name);
        return r;
}

static bool is_over(const NamesPass *pass)
{
        return atomic_load(pass->cancel) || clock_monotonic_usec() >= pass->deadline_usec;
}

/* Reads the open directory from the inventory's offset on. Returns 1 when the time was over before its end, 0, -errno. */
static int read_entries(NamesPass *pass)
{
        union {
                struct dirent64 first;
                char bytes[CHUNK_BYTES];
        } chunk;
        ssize_t n_bytes;
        int r;

        if (pass->inventory->offset != 0 &&
            lseek(pass->dir_fd, (off_t)pass->inventory->offset, SEEK_SET) < 0)
                return -errno;
        for (;;) {
                n_bytes = getdents64(pass->dir_fd, chunk.bytes, sizeof(chunk.bytes));
                if (n_bytes < 0)
                        return -errno;
                if (n_bytes == 0)
                        return 0;
                for (ssize_t at = 0; at < n_bytes;) {
                        const struct dirent64 *entry =
                                (const struct dirent64 *)(const void *)&chunk.bytes[at];

                        r = on_entry(pass, entry);
                        if (r < 0)
                                return r;
                        pass->inventory->offset = (uint64_t)entry->d_off;
                        at += entry->d_reclen;
                }
                if (is_over(pass))
                        return 1;
        }
}

/* Whose trouble is it? Returns 0 to go on with the next directory, -errno. */
static int not_read(NamesPass *pass, int error)
{
        InodeFacts inode;
        int r;

        switch (error) {
        case -ESTALE:
        case -ENOENT:
                /* Removed meanwhile, so its names are gone, too. */
                return 0;
        case -ENOMEM:
        case -EMFILE:
        case -ENFILE:
                return error;
        default:
                /* A damaged directory must not stop every sweep for good; a volume that was shut down answers
                 * nothing any more, and its directories are still to be read when it is back. */
                r = fs_volume_inode_read(pass->volume, pass->root_fd, pass->directory, &inode);
                if (r < 0 && r != -ENOENT)
                        return r;
                pass->inventory->any_unreadable = true;
                return 0;
        }
}

/* Returns as read_entries(). */
static int read_directory(NamesPass *pass, FileId directory)
{
        int r;

        pass->directory = directory;
        pass->path[0] = '\0';
        pass->dir_fd = fs_volume_inode_open(pass->volume, pass->root_fd, directory,
                                            O_RDONLY | O_DIRECTORY | O_NOATIME | O_NONBLOCK);
        if (pass->dir_fd < 0)
                return not_read(pass, pass->dir_fd);
        r = read_entries(pass);
        pass->dir_fd = fd_close(pass->dir_fd);
        return r < 0 ? not_read(pass, r) : r;
}

static bool all_are_named(const Inventory *inventory)
{
        for (size_t i = 0; i < inventory->n_items; i++)
                if (!inventory->items[i].name)
                        return false;
        return true;
}

/* Nothing more can be learned. */
static bool is_complete(const NamesPass *pass)
{
        return pass->inventory->n_items == 0 ||
               (!naming_is_needed(pass->volume, pass->config) && all_are_named(pass->inventory));
}

/* The directories among the inodes of one batch. */
static int step(NamesPass *pass)
{
        Inventory *inventory = pass->inventory;
        InodeCursor next = inventory->cursor;
        int more, r;

        pass->n_directories = 0;
        more = pass->volume->facts.type->inodes_next(&pass->volume->facts, pass->root_fd, &next, on_inode,
                                                     pass);
        if (more < 0)
                return more;
        for (size_t i = 0; i < pass->n_directories; i++) {
                const FileId directory = pass->directories[i];

                /* Only of the directory that it was taken in; its inode may be another's now. */
                if (directory.inode != inventory->cursor.inode ||
                    directory.subvolume != inventory->cursor.subvolume ||
                    (inventory->generation != 0 && inventory->generation != directory.generation))
                        inventory->offset = 0;
                inventory->cursor = (InodeCursor){directory.inode, directory.subvolume};
                inventory->generation = directory.generation;
                r = read_directory(pass, directory);
                if (r != 0)
                        return r;
                inventory->cursor.inode++;
                inventory->offset = 0;
                if (is_over(pass))
                        return 1;
        }
        inventory->cursor = next;
        inventory->offset = 0;
        return more;
}

int inventory_step_names(Inventory *inventory, const FsVolume *volume, int root_fd,
                         const VolumeConfig *config, uint64_t deadline_usec, const atomic_bool *cancel)
{
        _cleanup_(pass_done) NamesPass pass = {
                .inventory = inventory,
                .volume = volume,
                .config = config,
                .root_fd = root_fd,
                .deadline_usec = deadline_usec,
                .cancel = cancel,
                .dir_fd = -EBADF,
        };

        return is_complete(&pass) ? 0 : step(&pass);
}
