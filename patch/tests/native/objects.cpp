// Functions that several threads call at once. Each gets the number of the caller and that of all
// callers, and returns zero, or the line of what has failed. They know nothing of green threads.

#include <atomic>
#include <barrier>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <exception>
#include <future>
#include <latch>
#include <mutex>
#include <optional>
#include <semaphore>
#include <shared_mutex>
#include <stdexcept>
#include <thread>

#include <pthread.h>
#include <semaphore.h>
#include <threads.h>
#include <unistd.h>

using namespace std::chrono_literals;

#define CHECK(what) \
    if (!(what)) \
    return __LINE__

static void nap() { usleep(2000); }

extern "C" int a_mutex_is_held_across_a_sleep(int, int) {
    static std::mutex mutex;
    static int inside = 0;
    for (int i = 0; i < 5; i++) {
        std::lock_guard<std::mutex> lock(mutex);
        CHECK(inside++ == 0);
        nap();
        CHECK(--inside == 0);
    }
    return 0;
}

extern "C" int a_recursive_mutex_knows_its_owner(int, int) {
    static std::recursive_mutex mutex;
    static int inside = 0;
    for (int i = 0; i < 5; i++) {
        std::lock_guard<std::recursive_mutex> lock(mutex);
        CHECK(inside == 0);
        std::lock_guard<std::recursive_mutex> again(mutex);
        inside++;
        nap();
        inside--;
    }
    return 0;
}

extern "C" int a_timed_lock_gives_up(int, int) {
    static std::timed_mutex mutex;
    static std::atomic<int> refused = 0;
    for (int i = 0; i < 3; i++) {
        while (!mutex.try_lock_for(1ms))
            refused++;
        nap();
        mutex.unlock();
    }
    return 0;
}

extern "C" int a_condition_variable_passes_a_turn_around(int index, int count) {
    static std::mutex mutex;
    static std::condition_variable changed;
    static int turn = 0;
    for (int i = 0; i < 50; i++) {
        std::unique_lock<std::mutex> lock(mutex);
        changed.wait(lock, [&] { return turn == index; });
        turn = (turn + 1) % count;
        changed.notify_all();
    }
    return 0;
}

extern "C" int each_notify_one_passes_an_item(int index, int count) {
    static std::mutex mutex;
    static std::condition_variable arrived;
    static std::deque<int> items;
    static long sum = 0;
    static int ended = 0;
    const int all = 400;
    if (index == 0) {
        for (int i = 0; i < all; i++) {
            std::lock_guard<std::mutex> lock(mutex);
            items.push_back(i);
            arrived.notify_one();
        }
        for (int i = 1; i < count; i++) {
            std::lock_guard<std::mutex> lock(mutex);
            items.push_back(-1);
            arrived.notify_one();
        }
        for (;;) {
            nap();
            std::lock_guard<std::mutex> lock(mutex);
            if (ended == count - 1)
                break;
        }
        CHECK(sum == all * (all - 1) / 2);
        return 0;
    }
    for (;;) {
        std::unique_lock<std::mutex> lock(mutex);
        arrived.wait(lock, [] { return !items.empty(); });
        int item = items.front();
        items.pop_front();
        if (item < 0) {
            ended++;
            return 0;
        }
        sum += item;
    }
}

extern "C" int waits_time_out(int, int) {
    std::mutex mutex;
    std::condition_variable never;
    std::unique_lock<std::mutex> lock(mutex);
    CHECK(never.wait_for(lock, 5ms) == std::cv_status::timeout);
    CHECK(never.wait_until(lock, std::chrono::system_clock::now() + 5ms) == std::cv_status::timeout);
    CHECK(lock.owns_lock());
    std::condition_variable_any any;
    CHECK(any.wait_for(lock, 5ms) == std::cv_status::timeout);
    return 0;
}

extern "C" int call_once_waits_for_the_initializer(int, int) {
    static std::once_flag flag;
    static std::atomic<int> calls = 0;
    std::call_once(flag, [] {
        nap();
        calls++;
    });
    CHECK(calls == 1);
    return 0;
}

extern "C" int call_once_tries_again_after_an_exception(int, int) {
    static std::once_flag flag;
    static std::atomic<int> calls = 0;
    for (;;) {
        try {
            std::call_once(flag, [] {
                nap();
                if (++calls < 3)
                    throw std::runtime_error("not yet");
            });
            break;
        } catch (const std::runtime_error &) {
        }
    }
    CHECK(calls == 3);
    return 0;
}

struct Slow {
    int value;
    Slow() {
        nap();
        value = 7;
    }
};

extern "C" int a_static_is_initialized_once(int, int) {
    static Slow slow;
    CHECK(slow.value == 7);
    return 0;
}

extern "C" int threads_are_joined(int index, int) {
    int value = 0;
    std::thread thread([&] {
        nap();
        value = index + 1;
    });
    thread.join();
    CHECK(value == index + 1);
    std::thread ended([&] { value = 0; });
    usleep(5000);
    ended.join();
    CHECK(value == 0);
    auto future = std::async(std::launch::async, [] {
        nap();
        return 3;
    });
    CHECK(future.get() == 3);
    return 0;
}

extern "C" int readers_share_and_writers_do_not(int index, int) {
    static std::shared_mutex mutex;
    static std::atomic<int> readers = 0, writers = 0;
    for (int i = 0; i < 5; i++) {
        if ((index + i) % 3 == 0) {
            std::unique_lock<std::shared_mutex> lock(mutex);
            CHECK(readers == 0 && writers++ == 0);
            nap();
            writers--;
        } else {
            std::shared_lock<std::shared_mutex> lock(mutex);
            readers++;
            CHECK(writers == 0);
            nap();
            readers--;
        }
    }
    static std::shared_timed_mutex timed;
    while (!timed.try_lock_for(1ms)) {
    }
    nap();
    timed.unlock();
    return 0;
}

extern "C" int atomics_wait_and_notify(int index, int count) {
    static std::atomic<int> turn = 0;
    for (int i = 0; i < 50; i++) {
        int now;
        while ((now = turn.load()) != index)
            turn.wait(now);
        turn = (index + 1) % count;
        turn.notify_all();
    }
    return 0;
}

extern "C" int latches_barriers_and_semaphores_meet(int index, int count) {
    static std::latch latch(count);
    static std::barrier<> barrier(count);
    static std::counting_semaphore<1000> semaphore(0);
    static std::atomic<int> rounds = 0;
    latch.arrive_and_wait();
    for (int i = 0; i < 5; i++) {
        rounds++;
        barrier.arrive_and_wait();
        CHECK(rounds >= (i + 1) * count);
        barrier.arrive_and_wait();
    }
    if (index == 0)
        for (int i = 1; i < count; i++)
            semaphore.release();
    else
        semaphore.acquire();
    CHECK(index == 0 || !semaphore.try_acquire_for(1ms) || (semaphore.release(), true));
    return 0;
}

extern "C" int posix_barriers_and_semaphores_meet(int index, int count) {
    static pthread_barrier_t barrier;
    static sem_t semaphore;
    static std::atomic<int> serial = 0;
    static std::once_flag flag;
    std::call_once(flag, [&] {
        pthread_barrier_init(&barrier, nullptr, count);
        sem_init(&semaphore, 0, 0);
    });
    for (int i = 0; i < 3; i++) {
        int result = pthread_barrier_wait(&barrier);
        CHECK(result == 0 || result == PTHREAD_BARRIER_SERIAL_THREAD);
        if (result != 0)
            serial++;
        // This round must not count before all have checked the one above.
        result = pthread_barrier_wait(&barrier);
        CHECK(result == 0 || result == PTHREAD_BARRIER_SERIAL_THREAD);
        CHECK(serial == i + 1);
    }
    if (index == 0)
        for (int i = 1; i < count; i++) {
            nap();
            CHECK(sem_post(&semaphore) == 0);
        }
    else
        CHECK(sem_wait(&semaphore) == 0);
    pthread_barrier_wait(&barrier);
    timespec soon;
    clock_gettime(CLOCK_REALTIME, &soon);
    soon.tv_nsec = (soon.tv_nsec + 1000000) % 1000000000;
    errno = 0;
    CHECK(sem_timedwait(&semaphore, &soon) == -1 && errno == ETIMEDOUT);
    timespec invalid = {0, 1000000000};
    CHECK(sem_timedwait(&semaphore, &invalid) == -1 && errno == EINVAL);
    return 0;
}

extern "C" int checked_mutexes_report_misuse(int index, int count) {
    static std::barrier<> barrier(count);
    static pthread_mutex_t mutex;
    static pthread_cond_t condvar = PTHREAD_COND_INITIALIZER;
    static std::once_flag flag;
    std::call_once(flag, [] {
        pthread_mutexattr_t attributes;
        pthread_mutexattr_init(&attributes);
        pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ERRORCHECK);
        pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
        pthread_mutex_init(&mutex, &attributes);
    });
    barrier.arrive_and_wait();
    if (index == 0) {
        CHECK(pthread_mutex_lock(&mutex) == 0);
        CHECK(pthread_mutex_lock(&mutex) == EDEADLK);
    }
    barrier.arrive_and_wait();
    if (index != 0) {
        CHECK(pthread_mutex_unlock(&mutex) == EPERM);
        CHECK(pthread_cond_wait(&condvar, &mutex) == EPERM);
        CHECK(pthread_mutex_trylock(&mutex) == EBUSY);
        timespec past = {1, 0}, invalid = {1, -1};
        CHECK(pthread_mutex_timedlock(&mutex, &past) == ETIMEDOUT);
        CHECK(pthread_mutex_timedlock(&mutex, &invalid) == EINVAL);
    }
    barrier.arrive_and_wait();
    if (index == 0)
        CHECK(pthread_mutex_unlock(&mutex) == 0);
    barrier.arrive_and_wait();
    for (int i = 0; i < 5; i++) {
        CHECK(pthread_mutex_lock(&mutex) == 0);
        nap();
        CHECK(pthread_mutex_unlock(&mutex) == 0);
    }
    static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
    CHECK(pthread_rwlock_wrlock(&lock) == 0);
    CHECK(pthread_rwlock_wrlock(&lock) == EDEADLK);
    CHECK(pthread_rwlock_rdlock(&lock) == EDEADLK);
    CHECK(pthread_rwlock_unlock(&lock) == 0);
    CHECK(pthread_join(pthread_self(), nullptr) == EDEADLK);
    return 0;
}

extern "C" int c11_objects_work(int index, int count) {
    static mtx_t mutex;
    static cnd_t changed;
    static once_flag flag = ONCE_FLAG_INIT;
    static int turn = 0;
    call_once(&flag, [] {
        nap();
        mtx_init(&mutex, mtx_timed);
        cnd_init(&changed);
    });
    for (int i = 0; i < 10; i++) {
        CHECK(mtx_lock(&mutex) == thrd_success);
        while (turn != index)
            CHECK(cnd_wait(&changed, &mutex) == thrd_success);
        turn = (turn + 1) % count;
        CHECK(cnd_broadcast(&changed) == thrd_success);
        CHECK(mtx_unlock(&mutex) == thrd_success);
    }
    timespec past = {1, 0};
    cnd_t never;
    cnd_init(&never);
    CHECK(mtx_lock(&mutex) == thrd_success);
    CHECK(cnd_timedwait(&never, &mutex, &past) == thrd_timedout);
    CHECK(mtx_unlock(&mutex) == thrd_success);
    thrd_t thread;
    thrd_create(
        &thread,
        [](void *) {
            nap();
            return -5;
        },
        nullptr);
    int result = 0;
    CHECK(thrd_join(thread, &result) == thrd_success && result == -5);
    return 0;
}

static void init_with_priority_inheritance(pthread_mutex_t *mutex, int kind, int robustness) {
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT);
    pthread_mutexattr_settype(&attributes, kind);
    pthread_mutexattr_setrobust(&attributes, robustness);
    pthread_mutex_init(mutex, &attributes);
}

static int locks_exclusively(int kind, int robustness, pthread_mutex_t &mutex,
                             std::barrier<> &barrier, int index, int &inside) {
    if (index == 0)
        init_with_priority_inheritance(&mutex, kind, robustness);
    barrier.arrive_and_wait();
    for (int i = 0; i < 10; i++) {
        CHECK(pthread_mutex_lock(&mutex) == 0);
        CHECK(inside++ == 0);
        if (kind == PTHREAD_MUTEX_RECURSIVE)
            CHECK(pthread_mutex_lock(&mutex) == 0);
        if (kind == PTHREAD_MUTEX_ERRORCHECK)
            CHECK(pthread_mutex_lock(&mutex) == EDEADLK);
        nap();
        if (kind == PTHREAD_MUTEX_RECURSIVE)
            CHECK(pthread_mutex_unlock(&mutex) == 0);
        CHECK(--inside == 0);
        CHECK(pthread_mutex_unlock(&mutex) == 0);
        if (kind != PTHREAD_MUTEX_NORMAL)
            CHECK(pthread_mutex_unlock(&mutex) == EPERM);
    }
    return 0;
}

extern "C" int a_mutex_with_priority_inheritance_is_exclusive(int index, int count) {
    static pthread_mutex_t mutex;
    static std::barrier<> barrier(count);
    static int inside = 0;
    return locks_exclusively(PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_STALLED, mutex, barrier, index,
                             inside);
}

extern "C" int a_recursive_mutex_with_priority_inheritance_is_exclusive(int index, int count) {
    static pthread_mutex_t mutex;
    static std::barrier<> barrier(count);
    static int inside = 0;
    return locks_exclusively(PTHREAD_MUTEX_RECURSIVE, PTHREAD_MUTEX_STALLED, mutex, barrier, index,
                             inside);
}

extern "C" int a_checked_mutex_with_priority_inheritance_is_exclusive(int index, int count) {
    static pthread_mutex_t mutex;
    static std::barrier<> barrier(count);
    static int inside = 0;
    return locks_exclusively(PTHREAD_MUTEX_ERRORCHECK, PTHREAD_MUTEX_STALLED, mutex, barrier, index,
                             inside);
}

extern "C" int a_robust_mutex_with_priority_inheritance_is_exclusive(int index, int count) {
    static pthread_mutex_t mutex;
    static std::barrier<> barrier(count);
    static int inside = 0;
    return locks_exclusively(PTHREAD_MUTEX_ERRORCHECK, PTHREAD_MUTEX_ROBUST, mutex, barrier, index,
                             inside);
}

extern "C" int a_condition_with_priority_inheritance_passes_a_turn_around(int index, int count) {
    static pthread_mutex_t mutex;
    static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
    static std::once_flag flag;
    static int turn = 0;
    std::call_once(flag, [] {
        init_with_priority_inheritance(&mutex, PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_STALLED);
    });
    for (int i = 0; i < 10; i++) {
        CHECK(pthread_mutex_lock(&mutex) == 0);
        while (turn != index)
            CHECK(pthread_cond_wait(&changed, &mutex) == 0);
        turn = (turn + 1) % count;
        CHECK(pthread_cond_broadcast(&changed) == 0);
        // The next one wakes while the mutex is locked.
        nap();
        CHECK(pthread_mutex_unlock(&mutex) == 0);
    }
    static pthread_cond_t never = PTHREAD_COND_INITIALIZER;
    timespec past = {1, 0};
    CHECK(pthread_mutex_lock(&mutex) == 0);
    CHECK(pthread_cond_timedwait(&never, &mutex, &past) == ETIMEDOUT);
    CHECK(pthread_mutex_unlock(&mutex) == 0);
    return 0;
}

extern "C" int a_timed_lock_with_priority_inheritance_gives_up(int index, int count) {
    static pthread_mutex_t mutex;
    static std::barrier<> barrier(count);
    // Each is the owner once, so green threads and OS threads wait for both.
    for (int owner = 0; owner < count; owner++) {
        if (index == owner) {
            init_with_priority_inheritance(&mutex, PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_STALLED);
            CHECK(pthread_mutex_lock(&mutex) == 0);
        }
        barrier.arrive_and_wait();
        if (index != owner) {
            timespec soon, invalid = {1, -1};
            clock_gettime(CLOCK_REALTIME, &soon);
            soon.tv_nsec += 3000000;
            soon.tv_sec += soon.tv_nsec / 1000000000;
            soon.tv_nsec %= 1000000000;
            CHECK(pthread_mutex_timedlock(&mutex, &soon) == ETIMEDOUT);
            CHECK(pthread_mutex_timedlock(&mutex, &invalid) == EINVAL);
        }
        barrier.arrive_and_wait();
        if (index == owner)
            CHECK(pthread_mutex_unlock(&mutex) == 0);
        barrier.arrive_and_wait();
    }
    return 0;
}

static std::atomic<int> destroyed = 0;

struct Object {
    int value = 7;
    ~Object() {
        nap();
        destroyed += value == 8 ? 1 : 1000;
        value = 9;
    }
};

static thread_local Object object;
static thread_local int plain = 7;

extern "C" int objects_of_a_thread_are_its_own(int, int) {
    static pthread_key_t key;
    static std::once_flag flag;
    std::call_once(flag, [] {
        pthread_key_create(&key, [](void *) {
            nap();
            static thread_local Object late;
            late.value = late.value == 7 ? 8 : 0;
        });
    });
    CHECK(object.value == 7 && plain == 7 && pthread_getspecific(key) == nullptr);
    object.value = 8;
    plain = 9;
    pthread_setspecific(key, &key);
    nap();
    CHECK(object.value == 8 && plain == 9 && pthread_getspecific(key) == &key);
    return 0;
}

extern "C" int destroyed_objects(int, int) { return destroyed; }

extern "C" int exceptions_are_caught_where_they_are_thrown(int index, int) {
    struct Parks {
        ~Parks() { nap(); }
    };
    for (int i = 0; i < 10; i++) {
        try {
            Parks parks;
            CHECK(std::uncaught_exceptions() == 0);
            throw index;
        } catch (int caught) {
            nap();
            CHECK(caught == index);
            try {
                throw index + 1;
            } catch (...) {
                nap();
            }
            CHECK(std::current_exception() != nullptr);
        }
        CHECK(std::current_exception() == nullptr);
    }
    return 0;
}
