// Functions like those of objects.cpp, with calls that block: of C++20, of POSIX, and of Linux.

#include <array>
#include <atomic>
#include <barrier>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <future>
#include <mutex>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace std::chrono_literals;

#define CHECK(what) \
    if (!(what)) \
    return __LINE__

static void nap() { std::this_thread::sleep_for(2ms); }

extern "C" int a_thread_that_is_asked_to_stop_ends(int, int) {
    std::atomic<int> rounds = 0;
    bool was_stopped = false;
    {
        std::mutex mutex;
        std::condition_variable_any changed;
        std::jthread thread([&](std::stop_token stop) {
            std::unique_lock<std::mutex> lock(mutex);
            changed.wait(lock, stop, [] { return false; });
            was_stopped = stop.stop_requested();
        });
        std::jthread worker([&](std::stop_token stop) {
            while (!stop.stop_requested()) {
                rounds++;
                nap();
            }
        });
        std::stop_callback callback(worker.get_stop_token(), [&] { rounds += 1000; });
        nap();
        // Both are asked to stop, and joined.
        worker.request_stop();
    }
    CHECK(was_stopped);
    CHECK(rounds >= 1000);
    return 0;
}

extern "C" int a_stop_ends_the_wait_of_its_caller(int, int) {
    std::mutex mutex;
    std::condition_variable_any changed;
    std::stop_source source;
    std::thread stopper([&] {
        nap();
        source.request_stop();
    });
    std::unique_lock<std::mutex> lock(mutex);
    bool found = changed.wait(lock, source.get_token(), [] { return false; });
    lock.unlock();
    stopper.join();
    CHECK(!found);
    return 0;
}

extern "C" int promises_carry_values_and_exceptions(int index, int) {
    std::promise<int> value, failure, broken;
    auto first = value.get_future(), second = failure.get_future(), third = broken.get_future();
    auto shared = first.share();
    std::thread thread([&, index, broken = std::move(broken)]() mutable {
        nap();
        value.set_value(index);
        nap();
        failure.set_exception(std::make_exception_ptr(std::runtime_error("as it should")));
    });
    CHECK(shared.wait_for(0s) == std::future_status::timeout || shared.get() == index);
    CHECK(shared.get() == index);
    bool is_caught = false;
    try {
        second.get();
    } catch (const std::runtime_error &error) {
        nap();
        is_caught = std::string(error.what()) == "as it should";
    }
    thread.join();
    CHECK(is_caught);
    try {
        third.get();
        return __LINE__;
    } catch (const std::future_error &) {
    }
    std::packaged_task<int(int)> task([](int number) {
        nap();
        return number + 1;
    });
    auto result = task.get_future();
    std::thread runner(std::move(task), 6);
    CHECK(result.get() == 7);
    runner.join();
    auto late = std::async(std::launch::deferred, [] {
        nap();
        return 8;
    });
    CHECK(late.wait_for(1ms) == std::future_status::deferred && late.get() == 8);
    return 0;
}

// Each call parks while its exception is in flight, or caught, and throws it on.
static void throw_through(int depth, int index) {
    struct Parks {
        ~Parks() { nap(); }
    } parks;
    if (depth == 0)
        throw std::runtime_error(std::to_string(index));
    try {
        throw_through(depth - 1, index);
    } catch (...) {
        nap();
        std::throw_with_nested(std::runtime_error(std::to_string(index + depth)));
    }
}

static int depth_of(const std::exception &error, int index, int depth) {
    CHECK(std::string(error.what()) == std::to_string(index + depth));
    try {
        std::rethrow_if_nested(error);
    } catch (const std::exception &inner) {
        nap();
        return depth_of(inner, index, depth - 1);
    }
    CHECK(depth == 0);
    return 0;
}

extern "C" int exceptions_pass_through_frames_that_park(int index, int) {
    for (int i = 0; i < 3; i++) {
        try {
            throw_through(4, index * 100);
            return __LINE__;
        } catch (const std::exception &error) {
            CHECK(std::uncaught_exceptions() == 0);
            int line = depth_of(error, index * 100, 4);
            CHECK(line == 0);
        }
    }
    // An exception of one thread is thrown again in another.
    std::exception_ptr failure;
    std::thread thread([&] {
        try {
            throw index;
        } catch (...) {
            nap();
            failure = std::current_exception();
        }
    });
    thread.join();
    try {
        std::rethrow_exception(failure);
    } catch (int caught) {
        nap();
        CHECK(caught == index);
    }
    return 0;
}

extern "C" int streams_over_pipes_park(int index, int) {
    int ends[2];
    CHECK(pipe(ends) == 0);
    std::thread writer([&] {
        std::ofstream out("/dev/fd/" + std::to_string(ends[1]));
        for (int i = 0; i < 3; i++) {
            nap();
            out << index << ' ' << i << std::endl;
        }
    });
    std::ifstream in("/dev/fd/" + std::to_string(ends[0]));
    for (int i = 0; i < 3; i++) {
        int first = -1, second = -1;
        in >> first >> second;
        CHECK(first == index && second == i);
    }
    writer.join();
    close(ends[0]);
    close(ends[1]);
    return 0;
}

extern "C" int waits_on_a_given_clock_time_out(int, int) {
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t never = PTHREAD_COND_INITIALIZER;
    for (clockid_t clock : {CLOCK_MONOTONIC, CLOCK_REALTIME}) {
        timespec until;
        clock_gettime(clock, &until);
        until.tv_nsec += 3000000;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        pthread_mutex_lock(&mutex);
        CHECK(pthread_cond_clockwait(&never, &mutex, clock, &until) == ETIMEDOUT);
        CHECK(pthread_mutex_unlock(&mutex) == 0);
        timespec now;
        clock_gettime(clock, &now);
        CHECK(now.tv_sec > until.tv_sec
              || (now.tv_sec == until.tv_sec && now.tv_nsec >= until.tv_nsec));
    }
    return 0;
}

extern "C" int descriptors_with_large_numbers_are_selected(int, int) {
    rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur < 3000)
        return 0;
    int ends[2];
    CHECK(pipe(ends) == 0);
    int reader = fcntl(ends[0], F_DUPFD, 2000);
    CHECK(reader >= 2000);
    // The C library's functions for a set refuse such numbers.
    std::array<unsigned long, 64> set = {};
    set[reader / 64] |= 1ul << (reader % 64);
    std::thread writer([&] {
        nap();
        CHECK(write(ends[1], "x", 1) == 1);
        return 0;
    });
    int found = select(reader + 1, reinterpret_cast<fd_set *>(set.data()), nullptr, nullptr, nullptr);
    writer.join();
    CHECK(found == 1 && set[reader / 64] == 1ul << (reader % 64));
    for (int fd : {reader, ends[0], ends[1]})
        close(fd);
    return 0;
}

extern "C" int an_epoll_in_a_poll_in_an_epoll_reports(int, int) {
    int event = eventfd(0, 0), inner = epoll_create1(0), outer = epoll_create1(0);
    epoll_event wanted = {EPOLLIN, {.u64 = 1}}, found = {};
    CHECK(epoll_ctl(inner, EPOLL_CTL_ADD, event, &wanted) == 0);
    CHECK(epoll_ctl(outer, EPOLL_CTL_ADD, inner, &wanted) == 0);
    std::thread writer([&] {
        nap();
        eventfd_write(event, 1);
    });
    pollfd one = {outer, POLLIN, 0};
    CHECK(poll(&one, 1, -1) == 1 && one.revents == POLLIN);
    CHECK(epoll_wait(outer, &found, 1, -1) == 1 && epoll_wait(inner, &found, 1, -1) == 1);
    writer.join();
    for (int fd : {event, inner, outer})
        close(fd);
    return 0;
}

extern "C" int many_connections_are_accepted(int index, int) {
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t len = sizeof address;
    auto place = reinterpret_cast<sockaddr *>(&address);
    CHECK(bind(listener, place, len) == 0 && listen(listener, 64) == 0);
    CHECK(getsockname(listener, place, &len) == 0);
    const int count = 20;
    std::thread clients([&] {
        std::vector<int> sockets;
        for (int i = 0; i < count; i++) {
            sockets.push_back(socket(AF_INET, SOCK_STREAM, 0));
            if (connect(sockets.back(), place, len) != 0)
                return;
            if (i % 5 == 0)
                nap();
        }
        for (int fd : sockets) {
            char byte;
            (void)!read(fd, &byte, 1);
            close(fd);
        }
    });
    for (int i = 0; i < count; i++) {
        int fd = accept(listener, nullptr, nullptr);
        CHECK(fd >= 0);
        // The flag of a moment is not inherited.
        CHECK((fcntl(fd, F_GETFL) & O_NONBLOCK) == 0);
        CHECK(write(fd, &index, 1) == 1);
        close(fd);
    }
    clients.join();
    close(listener);
    return 0;
}

extern "C" int names_are_resolved_by_all(int, int) {
    for (int i = 0; i < 20; i++) {
        addrinfo hints = {}, *list = nullptr;
        hints.ai_family = AF_INET;
        hints.ai_socktype = SOCK_STREAM;
        CHECK(getaddrinfo("localhost", "80", &hints, &list) == 0 && list != nullptr);
        auto address = reinterpret_cast<sockaddr_in *>(list->ai_addr);
        CHECK(ntohl(address->sin_addr.s_addr) == INADDR_LOOPBACK && ntohs(address->sin_port) == 80);
        freeaddrinfo(list);
    }
    return 0;
}

extern "C" int commands_of_the_shell_run_at_once(int index, int) {
    std::string exit = "sleep 0.02; exit " + std::to_string(index);
    int status = system(exit.c_str());
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == index);
    FILE *stream = popen(("echo " + std::to_string(index)).c_str(), "r");
    int found = -1;
    CHECK(fscanf(stream, "%d", &found) == 1 && found == index);
    CHECK(pclose(stream) == 0);
    CHECK(pclose(popen(exit.c_str(), "w")) == index << 8);
    return 0;
}

extern "C" int messages_of_system_v_pass_a_turn_around(int index, int count) {
    static int queue = msgget(IPC_PRIVATE, 0600);
    static std::barrier<> barrier(count);
    struct {
        long kind;
        int value;
    } message = {1, 0};
    CHECK(queue >= 0);
    if (index == 0)
        CHECK(msgsnd(queue, &message, sizeof message.value, 0) == 0);
    for (int i = 0; i < 10; i++) {
        CHECK(msgrcv(queue, &message, sizeof message.value, index + 1, 0) == sizeof message.value);
        CHECK(message.value == i * count + index);
        message.kind = (index + 1) % count + 1;
        message.value++;
        CHECK(msgsnd(queue, &message, sizeof message.value, 0) == 0);
    }
    barrier.arrive_and_wait();
    if (index == 0)
        CHECK(msgctl(queue, IPC_RMID, nullptr) == 0);
    return 0;
}

extern "C" int semaphores_of_system_v_exclude(int, int count) {
    static int set = semget(IPC_PRIVATE, 1, 0600);
    static std::barrier<> barrier(count);
    static std::atomic<int> inside = 0;
    static std::once_flag flag;
    CHECK(set >= 0);
    std::call_once(flag, [] {
        sembuf give = {0, 1, 0};
        semop(set, &give, 1);
    });
    for (int i = 0; i < 5; i++) {
        sembuf take = {0, -1, SEM_UNDO}, give = {0, 1, SEM_UNDO};
        CHECK(semop(set, &take, 1) == 0);
        CHECK(inside++ == 0);
        nap();
        inside--;
        CHECK(semop(set, &give, 1) == 0);
    }
    barrier.arrive_and_wait();
    static std::once_flag end;
    std::call_once(end, [] { semctl(set, 0, IPC_RMID); });
    return 0;
}

extern "C" int locks_of_open_files_exclude(int index, int count) {
    static std::string path = "/tmp/evy-locks-" + std::to_string(getpid());
    static std::atomic<int> in_range = 0, in_file = 0;
    static std::barrier<> barrier(count);
    int fd = open(path.c_str(), O_RDWR | O_CREAT, 0600);
    CHECK(fd >= 0);
    barrier.arrive_and_wait();
    if (index == 0)
        unlink(path.c_str());
    for (int i = 0; i < 3; i++) {
        struct flock lock = {};
        lock.l_type = F_WRLCK;
        CHECK(fcntl(fd, F_OFD_SETLKW, &lock) == 0);
        CHECK(in_range++ == 0);
        nap();
        in_range--;
        lock.l_type = F_UNLCK;
        CHECK(fcntl(fd, F_OFD_SETLKW, &lock) == 0);
        CHECK(flock(fd, LOCK_EX) == 0);
        CHECK(in_file++ == 0);
        nap();
        in_file--;
        CHECK(flock(fd, LOCK_UN) == 0);
    }
    close(fd);
    return 0;
}

extern "C" int a_reader_whose_descriptor_is_replaced_gets_an_end_or_an_error(int, int) {
    int ends[2], others[2];
    CHECK(pipe(ends) == 0 && pipe(others) == 0);
    std::thread replacer([&] {
        nap();
        dup2(others[0], ends[0]);
        nap();
        // A plain OS thread goes on to read from the first pipe.
        (void)!write(ends[1], "1", 1);
    });
    char byte = 0;
    ssize_t found = read(ends[0], &byte, 1);
    int error = errno;
    replacer.join();
    CHECK((found == -1 && error == EBADF) || (found == 1 && byte == '1'));
    CHECK(write(others[1], "2", 1) == 1);
    CHECK(read(ends[0], &byte, 1) == 1 && byte == '2');
    for (int fd : {ends[0], ends[1], others[0], others[1]})
        close(fd);
    return 0;
}

extern "C" int children_are_waited_for_by_all(int index, int) {
    std::string text = "sleep 0.01; exit " + std::to_string(index);
    const char *arguments[] = {"sh", "-c", text.c_str(), nullptr};
    pid_t child;
    CHECK(posix_spawnp(&child, "sh", nullptr, nullptr, const_cast<char **>(arguments), environ) == 0);
    siginfo_t info = {};
    CHECK(waitid(P_PID, child, &info, WEXITED | WNOWAIT) == 0 && info.si_status == index);
    int status;
    CHECK(waitpid(child, &status, 0) == child && WEXITSTATUS(status) == index);
    CHECK(waitpid(child, &status, 0) == -1 && errno == ECHILD);
    return 0;
}

extern "C" int timers_are_read_at_their_time(int, int) {
    int timer = timerfd_create(CLOCK_MONOTONIC, 0);
    itimerspec time = {{0, 2000000}, {0, 2000000}};
    CHECK(timerfd_settime(timer, 0, &time, nullptr) == 0);
    for (int i = 0; i < 3; i++) {
        uint64_t count = 0;
        CHECK(read(timer, &count, sizeof count) == sizeof count && count > 0);
    }
    close(timer);
    return 0;
}
