# Stands in for Vagrant: evaluates a Vagrantfile and prints what machines it
# defines, as JSON. A setting that it does not know is an error, so that a
# misspelt one is found.
#
#   ruby vagrant.rb VAGRANTFILE
require "json"

class Provider
  attr_accessor :cpus, :memory
end

class VM
  attr_accessor :box, :hostname
  attr_reader :machines, :address, :providers

  def initialize
    @machines = {}
    @providers = {}
  end

  def synced_folder(_host, _guest, disabled:)
    raise "a shared folder" unless disabled
  end

  def define(name)
    yield(@machines[name] = Config.new)
  end

  def network(kind, ip:)
    raise "network #{kind}" unless kind == "private_network"
    @address = ip
  end

  def provider(name)
    raise "provider #{name}" unless %w[virtualbox libvirt].include?(name)
    yield(@providers[name] = Provider.new)
  end
end

class Config
  attr_reader :vm

  def initialize
    @vm = VM.new
  end
end

module Vagrant
  def self.configure(version)
    raise "version #{version}" unless version == "2"
    yield(config = Config.new)
    machines = config.vm.machines.transform_values do |machine|
      vm = machine.vm
      {
        box: vm.box || config.vm.box, hostname: vm.hostname, address: vm.address,
        memory: vm.providers.transform_values(&:memory), cpus: vm.providers.transform_values(&:cpus),
      }
    end
    puts JSON.generate(machines)
  end
end

load ARGV.fetch(0)
