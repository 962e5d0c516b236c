// SPDX-License-Identifier: MIT
// How many CPUs the control groups of this process leave it.
#ifndef CS_BACKEND_THREADS_H
#define CS_BACKEND_THREADS_H

// The smallest CPU quota on the way from this process's group to the root, versions 1 and 2,
// rounded to whole CPUs, at least 1; 0: no quota. membership is /proc/self/cgroup, root is
// /sys/fs/cgroup; tests give others.
int cs_cgroup_cpus(const char *membership, const char *root);

#endif
